"""The choice of the scales on dev by hand."""

import pytest

from asrkd.decode.scales import Point, choose
from asrkd.errors import UserError
from asrkd.score.wer import score_texts

GRID = [Point(0.5, 0.0), Point(1.0, 0.0), Point(1.0, 1.0)]
REFERENCES = {"tab": "one\ttwo", "no-break space": "three\u00a0four ", "empty": "", "letter": "été"}
TEXTS = {
    "tab": ["ONE", "ONE TWO", "ONE TWO"],
    "no-break space": ["THREE FOUR", "THREE FOUR", "THREE FOUR"],
    "empty": ["", "UH", "UH"],
    "letter": ["ÉTÉ", "ÉTÉ", "ÉTÉ"],
}


def test_wer_is_that_of_stage_10() -> None:
    best, notes = choose(TEXTS, GRID, REFERENCES)
    for number, row in enumerate(notes["grid"]):
        heard = {name: found[number] for name, found in TEXTS.items()}
        assert row["wer"] == score_texts(REFERENCES, heard, dict.fromkeys(TEXTS, "s")).wer == 1 / 5
    assert best == 1  # of equals, at scale 1 and without a penalty
    assert notes["wer"] == 1 / 5


def test_the_last_value_tried_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    choose({"u": ["A", "B", "B"]}, GRID, {"u": "a"})
    told = "the best of decode.lm_scales on dev is 0.5, the lowest of those tried; try more\n"
    assert capsys.readouterr().out == told
    choose({"u": ["B", "A", "B"]}, GRID[1:], {"u": "b"})  # a penalty of 0 is none
    assert capsys.readouterr().out == ""


def test_references_without_a_word() -> None:
    with pytest.raises(UserError, match="dev: expected transcripts to choose the decoding scales by"):
        choose({"u": ["A"]}, GRID[:1], {"u": "\t "})
