from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.corpus.prompts import Prompt, read_prompts, split_prompts, spoken_sentences


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Activated.", ["ACTIVATED"]),
        ("a", ["A"]),
        ("o'clock", ["O'CLOCK"]),
        ("A.M.", ["A M"]),
        ("p.m.", ["P M"]),
        ("H.323", ["H THREE TWO THREE"]),
        ("M I S D N", ["M I S D N"]),
        ("USB Radio", ["U S B RADIO"]),
        ('IAX (note: does not say "2")', ["I A X"]),
        ("visit www.asterisk.org.", ["VISIT W W W DOT ASTERISK DOT ORG"]),
        ("28.8 kilobit", ["TWENTY EIGHT POINT EIGHT KILOBIT"]),
        ("press 1, or 10", ["PRESS ONE OR TEN"]),
        ("dial 21", ["DIAL TWENTY ONE"]),
        ("the 1st, 2nd and 23rd", ["THE FIRST SECOND AND TWENTY THIRD"]),
        ("dial 500 or 8500", ["DIAL FIVE HUNDRED OR EIGHTY FIVE HUNDRED"]),
        ("extension 1234", ["EXTENSION ONE TWO THREE FOUR"]),
        ("3D audio", ["THREE D AUDIO"]),
        ("press * to pause, press # to exit", ["PRESS STAR TO PAUSE PRESS POUND TO EXIT"]),
        ("re-enter", ["RE ENTER"]),
        ('a polite "don\'t call" menu', ["A POLITE DON'T CALL MENU"]),
        ("your 'name'", ["YOUR NAME"]),
        ("represenatives", ["REPRESENTATIVES"]),
        ("...to exit the menu.", ["TO EXIT THE MENU"]),
        ("I'm sorry. Please try again!  Goodbye", ["I'M SORRY", "PLEASE TRY AGAIN", "GOODBYE"]),
        ("at [@]", ["AT"]),
        ("[this is a simple beep tone]", []),
        ("(10 seconds of silence)", []),
        ("<beep ascending>", []),
        ("", []),
    ],
)
def test_what_is_spoken(written: str, expected: list[str]) -> None:
    assert list(spoken_sentences(written)) == expected


@settings(deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=0x2100), max_size=80))
def test_nothing_but_words_comes_out(written: str) -> None:
    for sentence in spoken_sentences(written):
        for word in sentence.split(" "):
            assert word and set(word) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
            assert not word.startswith("'") and not word.endswith("'")


def test_reads_the_list() -> None:
    listed = "; Core sounds\n\nhello: Hello.\nbeep: [a beep]\ndigits/1: one\nvm-tell:  Time: now\nno colon here\n"
    prompts = read_prompts(listed)
    assert [(prompt.name, prompt.text) for prompt in prompts] == [
        ("digits/1", "ONE"),
        ("hello", "HELLO"),
        ("vm-tell", "TIME NOW"),
    ]


sentences = st.text(alphabet="ABC ", min_size=1, max_size=4).map(str.strip).filter(bool)
prompt_lists = st.lists(st.lists(sentences, min_size=1, max_size=3), max_size=60).map(
    lambda texts: [Prompt(f"p{n}", tuple(text)) for n, text in enumerate(texts)]
)


@settings(deadline=None)
@given(prompt_lists)
def test_no_sentence_stands_in_two_splits(prompts: list[Prompt]) -> None:
    splits = split_prompts(prompts)
    assert sorted(p.name for own in splits.values() for p in own) == sorted(p.name for p in prompts)
    spoken = [{sentence for prompt in own for sentence in prompt.sentences} for own in splits.values()]
    assert not spoken[0] & spoken[1] and not spoken[0] & spoken[2] and not spoken[1] & spoken[2]


@settings(deadline=None)
@given(prompt_lists, st.randoms())
def test_the_split_is_fixed_whatever_the_order(prompts: list[Prompt], random: Random) -> None:
    shuffled = list(prompts)
    random.shuffle(shuffled)
    once, again = split_prompts(prompts), split_prompts(shuffled)
    assert {k: {p.name for p in v} for k, v in once.items()} == {k: {p.name for p in v} for k, v in again.items()}


def test_the_shares() -> None:
    splits = split_prompts([Prompt(f"p{n}", (f"SENTENCE {n}",)) for n in range(4000)])
    shares = [len(splits[split]) / 4000 for split in ("train", "dev", "test")]
    assert shares == pytest.approx([0.72, 0.10, 0.18], abs=0.02)
