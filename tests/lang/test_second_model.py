"""The second pass's model, estimated and given."""

import gzip
import math
from pathlib import Path

import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.lang.lm import check_arpa, estimate_lm
from asrkd.lang.prepare import prepare_lang
from asrkd.lang.scoring import load_lm, perplexity, sentence_scorer

TEXT = "A B A\nA B\nB C A A\nC C B\n"


def config(folder: Path, **values: object) -> Config:
    (folder / "lexicon").write_text("A AH\nB B IY\nC S IY\nC K\nD D IY\n")
    (folder / "text").write_text(TEXT)
    chosen = Config()
    chosen.lang.lexicon, chosen.lang.lm_text = str(folder / "lexicon"), str(folder / "text")
    for name, value in values.items():
        setattr(chosen.lang, name, value)
    return chosen


def test_is_what_lmplz_estimates(tmp_path: Path, exp: Path, needs_lmplz: None) -> None:
    prepare_lang(exp, config(tmp_path))
    without = (exp / "lang" / "lm.arpa").read_bytes()
    prepare_lang(exp, config(tmp_path, rescore_order=4, rescore_prune=[0, 0, 0, 1]))
    assert (exp / "lang" / "lm.arpa").read_bytes() == without
    made = exp / "lang" / "rescore.bin"
    expected = tmp_path / "expected.arpa"
    estimate_lm(TEXT.splitlines(), ["A", "B", "C"], expected, order=4, prune=[0, 0, 0, 1], unseen=[])
    assert load_lm(made).order == 4
    for sentence in ("A B A", "B C A A", "C D", ""):
        assert math.isclose(sentence_scorer(made)(sentence), sentence_scorer(expected)(sentence))
    report = read_json(exp / "lang" / "report.json")["second_model"]
    assert report["ngrams"] == {str(order): count for order, count in check_arpa(expected).items()}
    assert report["dev"]["perplexity"] == round(perplexity(expected, ["A B Y"]).perplexity, 2)
    assert report["test"]["perplexity"] == round(perplexity(expected, ["B C X X"]).perplexity, 2)
    assert not list((exp / "lang").glob("*tmp*"))


def test_an_experiment_without_is_not_made_again(
    tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str], needs_lmplz: None
) -> None:
    prepare_lang(exp, config(tmp_path))
    assert set(read_json(exp / "lang" / "stamp.json")["config"]) == {
        "lang.vocabulary_size",
        "lang.lm_order",
        "lang.lm_prune",
    }
    prepare_lang(exp, config(tmp_path, rescore_order=2))
    assert "lang.rescore_order was None, is 2" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True])
def test_of_ones_own(
    tmp_path: Path, exp: Path, packed: bool, capsys: pytest.CaptureFixture[str], needs_lmplz: None
) -> None:
    own = tmp_path / "own.arpa"
    estimate_lm(["A B", "B Z A"], ["A", "B", "Z"], own, order=5, prune=[], unseen=[])
    given = own
    if packed:
        given = tmp_path / "own.gz"
        given.write_bytes(gzip.compress(own.read_bytes()))
    prepare_lang(exp, config(tmp_path, rescore_lm=str(given)))
    assert math.isclose(sentence_scorer(exp / "lang" / "rescore.bin")("B Z A"), sentence_scorer(own)("B Z A"))
    report = read_json(exp / "lang" / "report.json")["second_model"]
    assert (report["source"], report["vocabulary_words_missing"]) == (str(given), 1)
    assert f"{given}: 1 of the 3 words of the vocabulary are not in it, for example C; the" in capsys.readouterr().out


def test_ones_own_of_other_words(tmp_path: Path, exp: Path, needs_lmplz: None) -> None:
    own = tmp_path / "own.arpa"
    estimate_lm(["a b"], ["a", "b"], own, order=2, prune=[], unseen=[])
    with pytest.raises(UserError, match=r"own.arpa: expected words of the vocabulary.*found none of 3.*rescore_lm"):
        prepare_lang(exp, config(tmp_path, rescore_lm=str(own)))
    with pytest.raises(UserError, match=r"nowhere: expected a file, found none \(lang.rescore_lm\)"):
        prepare_lang(exp, config(tmp_path, rescore_lm=str(tmp_path / "nowhere")))
    own.write_text("no model\n")
    with pytest.raises(UserError, match="own.arpa, line 1: not a whole ARPA model"):
        prepare_lang(exp, config(tmp_path, rescore_lm=str(own)))
