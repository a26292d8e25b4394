"""Words spelt by their letters, and the stages that read such a lexicon."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.align.labelling import read_words
from asrkd.config import Config
from asrkd.decode.lexicon import lexicon_transducer, word_ids
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.lang.coverage import show_coverage
from asrkd.lang.graphemic import graphemic_lexicon, letters
from asrkd.lang.lexicon import NOISE, UNKNOWN, read_lexicon, write_lexicon
from asrkd.lang.prepare import prepare_lang


@pytest.mark.parametrize(
    ("word", "spelt"),
    [
        ("Cat", "C A T"),
        ("DON'T", "D O N T"),
        ("don’t", "D O N T"),
        ("well-being", "W E L L B E I N G"),
        ("Straße", "S T R A S S E"),
        ("déjà", "D É J À"),
        ("İzmir", "İ Z M I R"),
        ("ΣΑΣ", "Σ Α Σ"),
        ("σας", "Σ Α Σ"),
        ("हिन्दी", "ह ि न ् द ी"),
        ("漢字", "漢 字"),
        ("MP3", ""),
        ("A.", ""),
        ("<UNK>", ""),
        ("#1", ""),
        ("'", ""),
        ("--", ""),
    ],
)
def test_letters(word: str, spelt: str) -> None:
    assert letters(word) == tuple(spelt.split())


@given(st.text(max_size=6), st.text(max_size=6))
def test_parts_are_spelt_as_the_whole(first: str, second: str) -> None:
    if letters(first + second):
        assert letters(first) + letters(second) == letters(first + second)


@given(st.lists(st.text(min_size=1).filter(lambda word: word.split() == [word])))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    lexicon = graphemic_lexicon(words, words)
    assert set(lexicon) == {word for word in words if letters(word)} | {UNKNOWN}
    path = tmp_path_factory.getbasetemp() / "graphemic.txt"
    write_lexicon(path, lexicon)
    assert read_lexicon(path) == lexicon


def test_a_letter_that_is_not_heard_has_no_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert graphemic_lexicon(["ab", "ABZ", "Zz", "B-a"], ["BA"]) == {
        "ab": [("A", "B")],
        "B-a": [("B", "A")],
        UNKNOWN: [(NOISE,)],
    }
    assert "1 letters are in no training transcript, and have no sound: Z (in 2 words)" in capsys.readouterr().out


def test_the_stage_needs_no_dictionary_and_the_next_ones_read_it(
    tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str], needs_lmplz: None
) -> None:
    config = Config()
    config.lang.lexicon = "graphemic"
    config.lang.lm_text = str(tmp_path / "text")
    (tmp_path / "text").write_text("A BAX X'A\nB AB3\n")
    prepare_lang(exp, config)
    made = exp / "lang"
    assert (made / "phones.txt").read_text().split() == ["SIL", "SPN", "A", "B", "C", "X"]
    assert (made / "vocabulary.txt").read_text().split() == ["A", "B", "BAX", "X'A"]
    assert read_json(made / "report.json")["lexicon"]["source"] == "graphemic"
    aligned = read_words(made)
    # Y of dev is in no training transcript: it is aligned as noise.
    assert aligned.pronunciations("A C X'A Y") == [[[2]], [[4]], [[5, 2]], [[1]]]
    entries = [(line.split()[0], line.split()[1:]) for line in (made / "lexicon.txt").read_text().splitlines()]
    lexicon_transducer(entries, word_ids(["A", "B", "BAX", "X'A"]), aligned.phones)

    prepare_lang(exp, config)
    assert "finished, skipped" in capsys.readouterr().out
    show_coverage(exp, config)
    assert "1 of 3 words (33.33 %) are not in the lexicon (graphemic): Y" in capsys.readouterr().out
    config.lang.vocabulary = str(tmp_path / "vocabulary")
    (tmp_path / "vocabulary").write_text("CAB\n1\n")
    prepare_lang(exp, config)
    assert (made / "vocabulary.txt").read_text().split() == ["CAB"]


def test_with_a_model_of_ones_own_its_words_are_spelt(tmp_path: Path, exp: Path) -> None:
    config = Config()
    config.lang.lexicon, config.lang.lm = "graphemic", str(tmp_path / "lm.arpa")
    unigrams = "".join(f"-1\t{word}\t0\n" for word in ("<s>", "</s>", "<unk>", "A", "B", "CAX", "A1"))
    (tmp_path / "lm.arpa").write_text(
        f"\\data\\\nngram 1=7\nngram 2=1\n\n\\1-grams:\n{unigrams}\n\\2-grams:\n-1\tA B\n\n\\end\\\n"
    )
    prepare_lang(exp, config)
    assert (exp / "lang" / "vocabulary.txt").read_text().split() == ["A", "B", "CAX"]


def test_transcripts_without_letters_are_told(exp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkd.lang.prepare.transcripts", lambda path: ["1 2 A"])
    config = Config()
    config.lang.lexicon = "graphemic"
    with pytest.raises(UserError, match="66.67 % .* expected the spelling and case of a graphemic lexicon: words of"):
        prepare_lang(exp, config)
