"""The words that the lexicon does not have, counted by hand."""

import subprocess
import sys
from pathlib import Path

from lhotse import CutSet, MonoCut, SupervisionSegment

from asrkd.corpus.cuts import SPLITS, write_cuts
from asrkd.experiment import Step
from asrkd.lang.coverage import coverage, percent


def test_by_hand() -> None:
    found = coverage(["A B A", "C C D"], {"A": [("AH",)]})
    assert found == {
        "words": 6,
        "out_of_lexicon": 4,
        "out_of_lexicon_percent": 66.67,
        "out_of_lexicon_types": 3,
        "out_of_lexicon_words": ["C", "B", "D"],
    }
    assert percent(0, 0) == 0


def test_the_command_prints_them(tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_text("A AH\nB B IY\n")
    (tmp_path / "config.yaml").write_text(f"lang: {{lexicon: {tmp_path / 'lexicon'}}}\n")
    command = [sys.executable, "-m", "asrkd", "words", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "stage 0" in done.stderr

    step = Step(tmp_path / "data", made_by="stage 0", config={}, inputs={})
    step.begin()
    for split in SPLITS:
        supervision = SupervisionSegment(split, split, 0, 1, text="A B\tQUX A", speaker="s")
        write_cuts(step.folder / f"{split}.jsonl.gz", CutSet.from_cuts([MonoCut(split, 0, 1, 0, [supervision])]))
    step.finish(f"{split}.jsonl.gz" for split in SPLITS)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "dev: 1 of 4 words (25.0 %) are not in the lexicon" in done.stdout and ": QUX\n" in done.stdout
