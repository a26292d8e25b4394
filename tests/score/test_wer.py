from pathlib import Path

import pytest

from asrkd.errors import UserError
from asrkd.files import write_jsonl
from asrkd.score.wer import read_word_errors, score_texts, write_word_errors

REFERENCES = {
    "right": "ONE TWO",
    "case": "one  TWO\tthree",
    "one of each": "A B C D E F",
    "empty reference": "",
    "empty hypothesis": "A B",
    "no hypothesis": "A B C",
}
HYPOTHESES = {
    "right": "ONE TWO",
    "case": " ONE two THREE",
    "one of each": "A X C E F G",  # B is X, D is gone, G is new
    "empty reference": "UH HUH",
    "empty hypothesis": "",
}
SPEAKERS = dict(zip(REFERENCES, "aabbcc", strict=True))


def test_counts_by_hand() -> None:
    errors = score_texts(REFERENCES, HYPOTHESES, SPEAKERS)
    assert errors.ids == list(REFERENCES)
    assert errors.words.tolist() == [2, 3, 6, 0, 2, 3]
    assert errors.substitutions.tolist() == [0, 0, 1, 0, 0, 0]
    assert errors.deletions.tolist() == [0, 0, 1, 0, 2, 3]
    assert errors.insertions.tolist() == [0, 0, 1, 2, 0, 0]
    assert errors.missing == ["no hypothesis"]
    assert errors.alignments == ["CC", "CCC", "CSCDCCI", "II", "DD", "DDD"]
    assert errors.speakers == list("aabbcc")
    assert errors.wer == 10 / 16


def test_rate_may_be_above_one() -> None:
    assert score_texts({"u": "A"}, {"u": "A B C"}, {"u": "s"}).wer == 2


def test_one_letter_or_a_letter_and_its_mark_are_the_same_word() -> None:
    # By hand: U+00E9 is e with acute, U+0301 the acute alone; the capital of U+01F0 is J and U+030C.
    spelt = {"a": "caf\u00e9", "b": "cafe\u0301", "c": "\u01f0"}
    errors = score_texts(spelt, {"a": "cafe\u0301", "b": "CAF\u00c9", "c": "J\u030c"}, dict.fromkeys(spelt, "s"))
    assert errors.alignments == ["C", "C", "C"]
    assert score_texts({"a": "caf\u00e9"}, {"a": "cafe"}, {"a": "s"}).alignments == ["S"]


def test_counts_are_read_back(tmp_path: Path) -> None:
    errors = score_texts(REFERENCES, HYPOTHESES, SPEAKERS)
    write_word_errors(tmp_path / "words.jsonl", errors)
    back = read_word_errors(tmp_path / "words.jsonl")
    assert (back.ids, back.missing, back.wer) == (errors.ids, errors.missing, errors.wer)
    assert back.errors.tolist() == errors.errors.tolist()
    assert (back.speakers, back.alignments) == (errors.speakers, errors.alignments)


def test_counts_of_an_older_version_are_refused(tmp_path: Path) -> None:
    row = {"id": "u", "words": 1, "substitutions": 0, "deletions": 0, "insertions": 0, "missing": False}
    write_jsonl(tmp_path / "words.jsonl", [row])
    with pytest.raises(UserError, match="without 'speaker'; score again with --force"):
        read_word_errors(tmp_path / "words.jsonl")


def test_hypothesis_of_another_set() -> None:
    with pytest.raises(UserError, match="found utterance x "):
        score_texts({"u": "A"}, {"u": "A", "x": "B"}, {"u": "s"})


def test_references_without_a_word() -> None:
    with pytest.raises(UserError, match="expected words to score against"):
        score_texts({"u": " "}, {"u": "A"}, {"u": "s"})
