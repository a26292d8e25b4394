from pathlib import Path

import pytest

from asrkd.files import write_jsonl
from asrkd.score.second_pass import SecondPass, oracle_wer, second_pass

REFERENCES = {"a": "one two three", "b": "four", "c": "", "d": "five six"}
N_BEST = {
    "a": ["ONE TWO", "ONE TO THREE FOUR", "ONE TWO THREE"],  # 1, 2 and 0 errors
    "b": ["FIVE", "FIVE SIX"],  # 1 and 2
    "c": ["SEVEN", ""],  # 1 and 0
    "d": [],  # 2
}


def test_oracle_by_hand() -> None:
    assert oracle_wer(REFERENCES, N_BEST) == pytest.approx((0 + 1 + 0 + 2) / 6)
    assert oracle_wer(REFERENCES, {name: texts[:1] for name, texts in N_BEST.items()}) == pytest.approx(5 / 6)


def test_of_a_decoded_split(tmp_path: Path) -> None:
    assert second_pass(REFERENCES, tmp_path, 0.25) is None
    first = {name: texts[0] if texts else "" for name, texts in N_BEST.items()}
    write_jsonl(tmp_path / "first_pass.jsonl", ({"id": name, "text": text} for name, text in first.items()))
    lists = ({"id": name, "n_best": [{"text": text} for text in texts]} for name, texts in N_BEST.items())
    write_jsonl(tmp_path / "n_best.jsonl", lists)
    assert second_pass(REFERENCES, tmp_path, 0.25) == SecondPass(5 / 6, 0.25, 0.5)
