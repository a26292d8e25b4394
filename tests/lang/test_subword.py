"""Pieces of words: they make the text again, and each sounds as its letters."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.config import Config
from asrkd.decode.words import spelling, units
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.lang.graphemic import letters
from asrkd.lang.lexicon import UNKNOWN, read_lexicon
from asrkd.lang.lm import arpa_words, check_arpa
from asrkd.lang.pieces import BEGINS, rejoin
from asrkd.lang.prepare import prepare_lang
from asrkd.lang.scoring import perplexity, sentence_scorer
from asrkd.lang.subword import read_pieces, segmented, train_pieces

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'-"
KINDS = ["bpe:60", "unigram:60"]


def words() -> Counter[str]:
    draw = Random(1)
    stems = ["".join(draw.choices(ALPHABET[:26], k=draw.randint(1, 4))) for _ in range(60)]
    ends = ["", "", "ING", "S", "'S", "-", "S'"]
    made = ["'TIS", "É", *(stem + draw.choice(ends) for stem in stems for _ in range(3)), *ALPHABET[:26]]
    return Counter({word: 1 + draw.randint(0, 30) for word in made})


COUNTS = words()
MODELS = {unit: train_pieces(COUNTS, unit) for unit in KINDS}
READ = {unit: read_pieces(model, COUNTS) for unit, model in MODELS.items()}


@pytest.mark.parametrize("unit", KINDS)
def test_the_same_words_give_the_same_bytes(unit: str) -> None:
    assert train_pieces(Counter(dict(reversed(COUNTS.items()))), unit) == MODELS[unit]


@pytest.mark.parametrize("unit", KINDS)
@given(st.lists(st.text(ALPHABET + "É", min_size=1, max_size=9).filter(letters), min_size=1, max_size=5))
def test_pieces_rejoin_to_the_text(unit: str, text: list[str]) -> None:
    segment, lexicon = READ[unit]
    pieces = [segment(word) for word in text]
    for word, found in zip(text, pieces, strict=True):
        if found == (UNKNOWN,):
            # Letters with an apostrophe or a hyphen that stand so nowhere.
            assert set(word) & set("'-")
            continue
        assert [piece.startswith(BEGINS) for piece in found] == [True] + [False] * (len(found) - 1)
        assert sum((lexicon[piece][0] for piece in found), ()) == letters(word)
    if (UNKNOWN,) not in pieces:
        (encoded,) = segmented([" ".join(text)], segment)
        assert rejoin(encoded.split()) == " ".join(text)


@pytest.mark.parametrize("unit", KINDS)
def test_every_piece_has_letters_and_every_word_its_pieces(unit: str) -> None:
    segment, lexicon = READ[unit]
    assert all(len(spoken) == 1 and spoken[0] for spoken in lexicon.values())
    assert all(segment(word) != (UNKNOWN,) and rejoin(segment(word)) == word for word in COUNTS)
    assert any(len(segment(word)) > 2 for word in COUNTS) and any(len(segment(word)) == 1 for word in COUNTS)
    for word in ("A1", "1", "Ü", "<unk>", BEGINS, "'"):
        assert segment(word) == (UNKNOWN,)


def test_a_number_of_pieces_that_the_words_do_not_make() -> None:
    with pytest.raises(UserError, match=r"lang.lm_unit=bpe:5000: .* words can make, found: .*too high \(5000\)"):
        train_pieces(COUNTS, "bpe:5000")
    with pytest.raises(UserError, match="lang.lm_unit=unigram:10: .*smaller than required_chars"):
        train_pieces(COUNTS, "unigram:10")


def test_the_stage(tmp_path: Path, exp: Path, capsys: pytest.CaptureFixture[str], needs_lmplz: None) -> None:
    draw = Random(2)
    (tmp_path / "text").write_text(
        "".join(" ".join(draw.choices(["ABA", "AB", "CAB", "XA"], k=4)) + "\n" * 2 for _ in range(40))
    )
    config = Config()
    config.lang.lexicon, config.lang.lm_unit = "graphemic", "bpe:10"
    config.lang.lm_text = str(tmp_path / "text")
    config.lang.rescore_order = 5
    prepare_lang(exp, config)
    made = exp / "lang"
    vocabulary = (made / "vocabulary.txt").read_text().split()
    pieces = read_lexicon(made / "pieces.txt")
    assert set(vocabulary) == set(arpa_words(made / "lm.arpa")) == set(pieces) - {UNKNOWN}
    assert all(phones == [letters(piece.removeprefix(BEGINS))] for piece, phones in pieces.items() if piece != UNKNOWN)
    assert {"ABA", "CAB", "A", "C", UNKNOWN} <= set(read_lexicon(made / "lexicon.txt"))
    assert check_arpa(made / "lm.arpa")[1] == len(vocabulary) + 3

    segment, _ = read_pieces((made / "pieces.model").read_bytes(), ["ABA", "AB", "CAB", "XA"])
    dev = list(segmented(["A B Y"], segment))
    assert dev[0].split()[-1] == UNKNOWN
    report = read_json(made / "report.json")
    found = perplexity(made / "lm.arpa", dev)
    assert report["dev"]["perplexity"] == round(found.perplexity, 2)
    assert report["dev"]["perplexity_by_word"] == pytest.approx(10 ** (-found.log10 / 4), rel=0.01)
    assert (report["dev"]["pieces"], report["dev"]["out_of_vocabulary_percent"]) == (found.words, 33.33)
    assert sentence_scorer(made / "rescore.bin")(dev[0]) < 0
    assert not {BEGINS + letter for letter in "ABCX"} - set(vocabulary)

    ids = [1 + vocabulary.index(piece) for word in ("XA", "ABA") for piece in segment(word)]
    assert spelling(made)(ids) == "XA ABA" and spelling(made)([]) == ""
    assert units(made)(ids) == " ".join([*segment("XA"), *segment("ABA")])

    assert "pieces;" in capsys.readouterr().out
    config.lang.lm_unit = "word"  # of which the text has too few
    with pytest.raises(UserError, match="dev: 100.0 % of the words are not in the vocabulary of 4 words from"):
        prepare_lang(exp, config)
    (tmp_path / "text").write_text("XA A B ABA\n")
    prepare_lang(exp, config)
    assert "lang.lm_unit was bpe:10, is None" in capsys.readouterr().out
    assert not (made / "pieces.txt").exists()
    ids = [1 + (made / "vocabulary.txt").read_text().split().index(word) for word in ("XA", "ABA")]
    assert spelling(made)(ids) == "XA ABA"
