"""Alignments and matched pairs against NIST's sclite and sc_stats."""

from pathlib import Path

import pytest

from asrkd.score.significance import matched_pairs
from asrkd.score.wer import WordErrors, score_texts
from tests.score.nist import IDS, alignments, mapsswe, sclite, texts, tool

needs_sctk = pytest.mark.skipif(not tool("sclite"), reason="sclite is not installed (Debian: apt-get install sctk)")


def ours(column: int) -> WordErrors:
    return score_texts(texts(0), texts(column), {name: name.partition("-")[0] for name in IDS})


@needs_sctk
@pytest.mark.parametrize("column", [1, 2])
def test_alignments_are_those_of_sclite(column: int, tmp_path: Path) -> None:
    theirs = alignments(sclite(texts(0), texts(column), tmp_path, "system"))
    errors = ours(column)
    assert dict(zip(errors.ids, errors.alignments, strict=True)) == theirs
    letters = "".join(theirs.values())
    counted = [int(count.sum()) for count in (errors.substitutions, errors.deletions, errors.insertions)]
    assert counted == [letters.count(code) for code in "SDI"]


@needs_sctk
def test_words_of_other_characters_are_those_of_sclite(tmp_path: Path) -> None:
    said = {
        "s-1": "DON'T STOP AT FIVE O'CLOCK",
        "s-2": "WELL-BEING IS FINE",
        "s-3": "ÉTÉ À ÎLE",
        "s-4": "",
        "s-5": "हिन्दी में",
        "s-6": "A -B C- B;C",
        "s-7": "漢 字",
    }
    heard = {
        "s-1": "DONT STOP FIVE O'CLOCK",
        "s-2": "WELL BEING IS FINE",
        "s-3": "ÉTÉ A ÎLE",
        "s-4": "UH",
        "s-5": "हिन्दी",
        "s-6": "A B C- B;C",
        "s-7": "漢 子",
    }
    found = score_texts(said, heard, dict.fromkeys(said, "s"))
    assert dict(zip(found.ids, found.alignments, strict=True)) == alignments(sclite(said, heard, tmp_path, "system"))
    assert found.alignments == ["SCDCC", "ISCC", "CSC", "I", "CD", "CSCC", "CS"]


@needs_sctk
def test_five_substitutions_cost_sclite_more_than_six_other_errors(tmp_path: Path) -> None:
    """Its weights are 4 for a substitution and 3 for the others, so that it takes 18 where 20 is the least number of
    errors; jiwer's are 1 each, as the word error rate is defined."""
    said, heard = {"s-1": "P Q R A B"}, {"s-1": "A B S T U"}
    assert alignments(sclite(said, heard, tmp_path, "system")) == {"s-1": "DDDCCIII"}
    assert score_texts(said, heard, {"s-1": "s"}).alignments == ["SSSSS"]


def test_totals_that_sclite_gave() -> None:
    """On the same texts, where it is not installed either."""
    for column, counted in ((1, [8, 14, 2]), (2, [11, 18, 3])):
        errors = ours(column)
        assert [int(c.sum()) for c in (errors.substitutions, errors.deletions, errors.insertions)] == counted


def test_matched_pairs_that_sc_stats_gave() -> None:
    found = matched_pairs([ours(1).alignments], [ours(2).alignments])
    assert (found.segments, round(found.difference, 3)) == (43, -0.186)
    assert found.z is not None and round(found.z, 3) == -1.308


@needs_sctk
def test_matched_pairs_are_those_of_sc_stats(tmp_path: Path) -> None:
    sgml = [sclite(texts(0), texts(column), tmp_path, name) for column, name in ((1, "a"), (2, "b"))]
    found = matched_pairs([ours(1).alignments], [ours(2).alignments])
    assert found.z is not None
    assert mapsswe(sgml) == (found.segments, round(found.difference, 3), round(found.z, 3))
