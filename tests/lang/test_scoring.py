"""Probabilities of sentences by hand."""

import math
from pathlib import Path

import pytest

from asrkd.errors import UserError
from asrkd.lang.lm import write_binary
from asrkd.lang.scoring import perplexity, sentence_scorer

# "A B": <s> A, A B, B </s>. "A X A": <s> A; A X backs off with -0.125 to <unk>; A after an unknown word has no
# context; A </s> backs off with -0.125.
A_B = -0.25 - 0.5 - 0.375
A_X_A, X_AFTER_A = -0.25 - 0.75 - 0.125 - 0.5, -0.125 - 1.5


def test_perplexity(arpa: Path) -> None:
    found = perplexity(arpa, ["A B", "A X A"])
    assert (found.sentences, found.words, found.unknown, found.oov_rate) == (2, 5, 1, 0.2)
    assert math.isclose(found.log10, A_B + A_X_A + X_AFTER_A, rel_tol=1e-6)
    assert math.isclose(found.perplexity, 10 ** (-found.log10 / 7), rel_tol=1e-6)
    assert math.isclose(found.perplexity_known, 10 ** (-(A_B + A_X_A) / 6), rel_tol=1e-6)
    with pytest.raises(UserError, match="found no sentence"):
        perplexity(arpa, [])


def test_sentence_scores_of_both_forms(arpa: Path, needs_lmplz: None) -> None:
    write_binary(arpa, arpa.with_name("lm.bin"))
    for path in (arpa, arpa.with_name("lm.bin")):
        score = sentence_scorer(path)
        assert math.isclose(score("A B"), math.log(10) * A_B, rel_tol=1e-6)
        assert math.isclose(score("A X A"), math.log(10) * (A_X_A + X_AFTER_A), rel_tol=1e-6)
        assert math.isclose(score(""), math.log(10) * (-0.25 - 0.5), rel_tol=1e-6)


def test_what_kenlm_cannot_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "lm.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0 cut short")
    for name in ("lm.bin", "nowhere"):
        with pytest.raises(UserError, match=f"{name}: expected a model that KenLM reads"):
            sentence_scorer(tmp_path / name)
