"""A small experiment, and lmplz where it can be found."""

from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment

from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.tools import lmplz

TEXTS = {"train": ["A B", "B A X", "A  A C"], "dev": ["A B Y"], "test": ["B C X X"]}
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.25
-0.5\t</s>
-0.75\tA\t-0.125
-1\tB\t0

\\2-grams:
-0.25\t<s> A
-0.5\tA B
-0.375\tB </s>

\\end\\
"""


@pytest.fixture
def needs_lmplz() -> None:
    try:
        lmplz()
    except UserError as error:
        pytest.skip(f"lmplz is not built: {error}")


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    """An experiment whose stage 0 is done."""
    return make_exp(tmp_path / "exp", TEXTS)


def make_exp(exp: Path, texts_of: dict[str, list[str]]) -> Path:
    data = Step(exp / "data", made_by="stage 0", config={}, inputs={})
    assert data.begin()
    for split, texts in texts_of.items():
        cuts = [cut(f"{split}-{number}", text) for number, text in enumerate(texts)]
        CutSet.from_cuts(cuts).to_file(data.folder / f"{split}.jsonl.gz")
    data.finish([f"{split}.jsonl.gz" for split in texts_of])
    return exp


def cut(name: str, text: str) -> MonoCut:
    said = SupervisionSegment(id=name, recording_id=name, start=0, duration=1, text=text, speaker="s")
    return MonoCut(id=name, start=0, duration=1, channel=0, supervisions=[said])


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    return path
