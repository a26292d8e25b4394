import gzip
import math
from pathlib import Path

import pytest

from asrkd.config import Config, LangConfig
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.lang.lexicon import Lexicon, read_lexicon
from asrkd.lang.lm import arpa_words
from asrkd.lang.prepare import prepare_lang
from asrkd.lang.scoring import load_lm, perplexity
from asrkd.lang.vocabulary import most_frequent, read_vocabulary
from tests.lang.conftest import make_exp

ARPA = """\\data\\
ngram 1=5
ngram 2=1

\\1-grams:
-1.5\t<unk>\t0
-99\t<s>\t0
-0.5\t</s>
-0.75\tA\t0
-1\tB\t0

\\2-grams:
-0.5\tA B

\\end\\
"""
LEXICON = "A AH\nB B IY\nC S IY\nC K\nD D IY\n"


def lang(folder: Path, **files: str) -> LangConfig:
    """A config that names files of the given texts."""
    for name, text in files.items():
        (folder / name).write_text(text)
    return LangConfig(**{name: str(folder / name) for name in files})  # type: ignore[arg-type]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_lexicon_vocabulary_and_model_of_the_transcripts(tmp_path: Path, exp: Path, needs_lmplz: None) -> None:
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON)))
    made = exp / "lang"
    assert lines(made / "phones.txt") == ["SIL", "SPN", "AH", "B", "D", "IY", "K", "S"]
    assert lines(made / "vocabulary.txt") == ["A", "B", "C"]
    assert sorted(arpa_words(made / "lm.arpa")) == ["A", "B", "C"]
    assert read_lexicon(made / "lexicon.txt") == read_lexicon(tmp_path / "lexicon")
    report = read_json(made / "report.json")
    assert report["lexicon"]["words"] == 5  # with <UNK>
    assert report["train"] == {
        "words": 8,
        "out_of_lexicon": 1,
        "out_of_lexicon_percent": 12.5,
        "out_of_lexicon_types": 1,
        "out_of_lexicon_words": ["X"],
    }
    assert report["dev"]["out_of_vocabulary_percent"] == 33.33
    assert report["test"]["out_of_vocabulary_percent"] == report["test"]["out_of_lexicon_percent"] == 50
    assert report["test"]["out_of_lexicon_words"] == ["X"]
    assert math.isclose(report["dev"]["perplexity"], perplexity(made / "lm.arpa", ["A B Y"]).perplexity, abs_tol=0.006)
    assert report["language_model"]["discount_fallback"] is True


def test_given_files_and_transcripts_agree_whichever_way_letters_are_written(tmp_path: Path) -> None:
    # All of the user's files have E with a mark of its own, the transcripts the one character: as stage 0 writes them.
    exp = make_exp(tmp_path / "exp", {split: ["\u00c9 B"] for split in ("train", "dev", "test")})
    files = lang(
        tmp_path,
        lexicon=LEXICON.replace("A AH", "E\u0301 AH"),
        lm=ARPA.replace("A", "E\u0301"),
        vocabulary="E\u0301\nB\n",
    )
    prepare_lang(exp, Config(lang=files))
    assert lines(exp / "lang" / "vocabulary.txt") == ["B", "\u00c9"]
    model = load_lm(exp / "lang" / "lm.arpa")
    assert "\u00c9" in model and "E\u0301" not in model
    report = read_json(exp / "lang" / "report.json")
    assert report["test"]["out_of_lexicon"] == report["test"]["out_of_vocabulary_percent"] == 0


def test_finished_step_is_skipped_until_a_file_changes(
    tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str], needs_lmplz: None
) -> None:
    config = Config(lang=lang(tmp_path, lexicon=LEXICON, lm_text="A B A\nA B\n"))
    prepare_lang(exp, config)
    before = (exp / "lang" / "lm.arpa").read_bytes()
    prepare_lang(exp, config)
    assert "finished, skipped" in capsys.readouterr().out
    prepare_lang(exp, config, force=True)
    assert (exp / "lang" / "lm.arpa").read_bytes() == before
    (tmp_path / "lm_text").write_text("A B D\n")
    prepare_lang(exp, config)
    assert "the input lm_text changed" in capsys.readouterr().out
    assert lines(exp / "lang" / "vocabulary.txt") == ["A", "B", "D"]


def test_closed_vocabulary_is_whole_in_the_model(
    tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str], needs_lmplz: None
) -> None:
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, vocabulary="D\nA\nB\nQ\n")))
    assert lines(exp / "lang" / "vocabulary.txt") == ["A", "B", "D"]  # Q has no pronunciation
    assert sorted(arpa_words(exp / "lang" / "lm.arpa")) == ["A", "B", "D"]  # D is in no transcript, C is not asked for
    report = read_json(exp / "lang" / "report.json")
    assert report["vocabulary"]["left_out_words"] == ["Q"]
    assert report["language_model"]["unseen_words_added"] == 1
    told = capsys.readouterr().out
    assert "1 words cannot be decoded (not in the lexicon or the LM): Q" in told
    assert "are not in the training transcripts: each is added once, alone" in told


def test_own_model_is_kept_and_gives_the_vocabulary(tmp_path: Path, exp: Path) -> None:
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon="B B IY\nC S IY\nD D IY\nX K\n", lm=ARPA)))
    assert (exp / "lang" / "lm.arpa").read_text() == ARPA
    assert lines(exp / "lang" / "vocabulary.txt") == ["B"]
    assert read_json(exp / "lang" / "report.json")["vocabulary"]["left_out_words"] == ["A"]


def test_own_model_may_be_gzip(tmp_path: Path, exp: Path) -> None:
    chosen = lang(tmp_path, lexicon=LEXICON)
    chosen.lm = str(tmp_path / "lm.arpa.gz")
    Path(chosen.lm).write_bytes(gzip.compress(ARPA.encode()))
    prepare_lang(exp, Config(lang=chosen))
    assert (exp / "lang" / "lm.arpa").read_text() == ARPA


def test_a_vocabulary_that_does_not_fit_the_transcripts(
    tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a text in another case: the few words that it shares with the lexicon are all that could be recognised."""
    other = ARPA.replace("A", "D").replace("B", "C")
    told = "dev: 100.0 % of the words are not in the vocabulary of 2 words from .*/lm, .* example A, B, Y; .*--lm-text"
    with pytest.raises(UserError, match=told):
        prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, lm=other)))
    # Of one's own choice, as is one that is far too small for a corpus of a few utterances.
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, lm=other, vocabulary="D\n")))
    assert "WARNING: dev: 100.0 % of the words are not in the vocabulary of 1 words" in capsys.readouterr().out
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon="B B IY\nC S IY\nD D IY\nX K\n", lm=ARPA)))
    said = capsys.readouterr().out
    assert "WARNING: dev: 66.67 % of the words" in said and "WARNING: test: 75.0 % of the words" in said
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, lm=ARPA)))
    assert "WARNING: dev" not in capsys.readouterr().out


def test_a_text_in_another_case_stops_before_a_model_is_made(tmp_path: Path, exp: Path) -> None:
    with pytest.raises(UserError, match="dev: 100.0 % of the words .* the vocabulary of 1 words from .*/lm_text"):
        prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, lm_text="a b D\n")))
    assert not (exp / "lang" / "lm.arpa").exists()


def test_stress_marks_are_told(tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon="A AH0\nA AH1\nB B IY1\nC K P1\n", lm=ARPA)))
    assert "lexicon: 3 of its phones are vowels with a stress mark" in capsys.readouterr().out
    prepare_lang(exp, Config(lang=lang(tmp_path, lexicon=LEXICON, lm=ARPA)))
    assert "stress mark" not in capsys.readouterr().out


def test_what_a_killed_call_left_is_removed(tmp_path: Path, exp: Path) -> None:
    config = Config(lang=lang(tmp_path, lexicon="a AH\n", lm=ARPA))
    with pytest.raises(UserError):
        prepare_lang(exp, config)
    for name in ("text.tmp", "words.tmp", ".lm.arpa.12.tmp"):
        (exp / "lang" / name).write_text("A B\n")
    (exp / "lang" / "lmplz.tmp").mkdir()
    (exp / "lang" / "lmplz.tmp" / "XXab12").write_text("")
    with pytest.raises(UserError):
        prepare_lang(exp, config)
    assert [path.name for path in (exp / "lang").iterdir()] == ["stamp.json"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"lexicon": LEXICON, "lm": "no model\n"}, "lm, line 1: not a whole ARPA model"),
        ({"lexicon": "a AH\n", "lm": ARPA}, "spelling and case"),
        ({"lexicon": "a AH\n"}, "train: 100.0 % of the words are not in the lexicon, for example A, B, C"),
        ({"lexicon": LEXICON, "vocabulary": "A B\n"}, "expected a word a line, found 'A B'"),
        ({"lexicon": LEXICON, "vocabulary": "\n"}, "found no word"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, exp: Path, files: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        prepare_lang(exp, Config(lang=lang(tmp_path, **files)))
    assert read_json(exp / "lang" / "stamp.json")["state"] == "begun"


def test_missing_files_and_stage(tmp_path: Path, exp: Path) -> None:
    with pytest.raises(UserError, match=r"none \(--lm-text\)"):
        prepare_lang(exp, Config(lang=LangConfig(lm_text=str(tmp_path / "nowhere"))))
    with pytest.raises(UserError, match="stage 0 makes it"):
        prepare_lang(tmp_path / "other", Config())


def test_most_frequent_breaks_ties_by_the_alphabet() -> None:
    lexicon: Lexicon = {word: [("AH",)] for word in ("E", "D", "C", "B", "A", "<UNK>")}
    assert most_frequent({"C": 1, "B": 1, "A": 1, "X": 9, "D": 2, "<UNK>": 9}, lexicon, 3) == ["A", "B", "D"]


def test_vocabulary_may_be_compressed_and_repeat_itself(tmp_path: Path) -> None:
    (tmp_path / "words.gz").write_bytes(gzip.compress(b"B\nA\n\nB\n"))
    assert read_vocabulary(tmp_path / "words.gz") == ["A", "B"]
