"""A finished experiment made by hand: three members, one student or three runs of it, one share, and round numbers."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from asrkd.config import Config
from asrkd.experiment import STAMP, Step
from asrkd.files import read_json, write_json, write_jsonl, write_npy
from asrkd.score.confusions import Confusion, SpeakerErrors
from asrkd.score.frames import FrameScores
from asrkd.score.plausible import Rates
from asrkd.score.summary import Pair, split_scores
from asrkd.score.wer import WordErrors, write_word_errors
from asrkd.systems import System, systems

SAID = {"u1": "THE CAT SAT", "u2": "A DOG", "u3": "<B> RAN & HID"}
HEARD = {"u1": "THE BAT SAT", "u2": "A", "u3": "<B> RAN & HID NOW"}

# system: train, dev and test frame accuracy, dev and test cross-entropy, test WER
NUMBERS = {
    "member-01": (69.0, 50.0, 46.0, 1.9, 2.0, 45.0),
    "member-02": (70.0, 51.0, 47.0, 2.0, 2.1, 46.0),
    "member-03": (71.0, 52.0, 48.0, 2.1, 2.2, 47.0),
    "ensemble": (75.0, 55.0, 50.0, 1.7, 2.0, 44.0),
    "student-T2": (68.0, 53.0, 49.4, 1.8, 2.05, 44.5),
    "student-T2-2": (69.0, 54.0, 48.5, 1.85, 2.15, 45.5),
    "student-T2-3": (70.0, 55.0, 47.9, 1.9, 2.25, 47.0),
    "student-T5": (66.0, 51.0, 47.5, 1.9, 2.1, 46.5),
    "hard-3": (90.0, 31.0, 27.0, 3.9, 4.1, 80.0),
    "soft-3": (80.0, 42.0, 42.0, 2.5, 2.6, 60.0),
}


def finished(folder: Path, files: dict[str, Any], end: str = "2026-01-01 10:00:00", seconds: float = 60.0) -> None:
    """A step's folder with a stamp; a list is written as JSON lines, other values as JSON."""
    step = Step(folder, made_by="stage 0", config={}, inputs={})
    step.begin()
    for name, value in files.items():
        (write_jsonl if name.endswith(".jsonl") else write_json)(folder / name, value)
    step.finish(files)
    stamp = read_json(folder / STAMP) | {"finished": end, "seconds": seconds, "versions": {"torch": "2.11.0"}}
    write_json(folder / STAMP, stamp)


def errors(system: System) -> WordErrors:
    """On test, in one utterance of 1000 words."""
    substitutions = round(10 * NUMBERS[system.name][5]) - 150
    words, wrong, lost, added = (np.array([number]) for number in (1000, substitutions, 100, 50))
    alignment = "S" * substitutions + "D" * 100 + "I" * 50 + "C" * (900 - substitutions)
    return WordErrors(["u"], ["s"], words, wrong, lost, added, missing=[], alignments=[alignment])


def score(system: System) -> dict[str, Any]:
    train, dev, test, dev_entropy, test_entropy, wer = NUMBERS[system.name]

    def split(accuracy: float, entropy: float, words: WordErrors | None) -> dict[str, Any]:
        return split_scores(asdict(FrameScores(5000, accuracy / 100, entropy)), words)

    about = {"label": system.label, "kind": system.kind, "parameters": 1_581_556}
    sets = {"train": split(train, 1.0, None), "dev": split(dev, dev_entropy, errors(system))}
    # With the interval of a larger set: that of one utterance is its rate.
    sets["test"] = split(test, test_entropy, errors(system)) | {
        "interval": [(wer - 2) / 100, (wer + 2) / 100],
        "interval_by_speaker": [(wer - 3) / 100, (wer + 3) / 100],
    }
    return {**about, **sets}


def cuts() -> CutSet:
    def cut(name: str, text: str) -> MonoCut:
        recording = Recording(name, [AudioSource("file", [0], f"{name}.wav")], 16000, 16000, 1.0)
        segment = SupervisionSegment(name, name, 0.0, 1.0, text=text, speaker="s")
        return MonoCut(name, 0.0, 1.0, 0, supervisions=[segment], recording=recording)

    return CutSet.from_cuts(cut(name, text) for name, text in SAID.items())


@pytest.fixture
def config() -> Config:
    return make_config()


def make_config() -> Config:
    config = Config()
    config.ensemble.members = 3
    config.limited.shares = [0.03]
    return config


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_experiment(tmp_path_factory.mktemp("report") / "exp", make_config())


@pytest.fixture
def three_runs() -> Config:
    """Of the student of the first temperature; one of the second."""
    config = make_config()
    config.distill.students = 3
    config.distill.temperatures = [2.0, 5.0]
    return config


@pytest.fixture
def exp_of_three_runs(tmp_path: Path, three_runs: Config) -> Path:
    return make_experiment(tmp_path / "exp", three_runs)


@pytest.fixture
def exp(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "exp"))


COMPARISONS = [
    asdict(
        Pair(
            system,
            label,
            "member-01",
            "member 1",
            difference=-0.005,
            interval=(-0.015, 0.005),
            interval_by_speaker=(-0.025, 0.015),
            better=0.804,
            segments=1234,
            difference_per_segment=-0.02,
            z=-0.85,
            p=0.3953,
        )
    )
    for system, label in (("student-T2", "student, T = 2"), ("student-T2-2", "student, T = 2, run 2"))
]

SPEAKERS = [SpeakerErrors("s1", 2, 600, 150, 60, 30, 0.4), SpeakerErrors("s2", 1, 400, 145, 40, 20, 0.5125)]
CONFUSIONS = [
    Confusion("substitution", "CAT", "BAT", 7),
    Confusion("substitution", "A", "THE", 2),
    Confusion("deletion", "A", "", 5),
]
PHONES = np.array([[1000, 0, 0], [0, 0, 0], [100, 100, 300]])  # SIL, SPN and one more, by label and by system


def make_experiment(exp: Path, config: Config) -> Path:
    finished(
        exp / "data",
        {"report.json": {"train": {"hours": 2.69, "speakers": 20}, "test": {"hours": 0.41, "speakers": 2}, "oov": 3}},
    )
    cuts().to_file(exp / "data" / "test.jsonl.gz")
    finished(exp / "features" / "train", {"card.json": {}})
    finished(exp / "lang", {"report.json": {"perplexity": 251.5}})
    label_set = {"num_pdfs": 500, "phones": ["SIL", "SPN", "AA"], "hash": "x"}
    finished(exp / "align", {"report.json": {"num_pdfs": 500, "silence": 0.2}, "label_set.json": label_set})
    finished(exp / "graph", {"report.json": {"states": 1000, "arcs": 12_000_000}})
    scores = {}
    # Two members at a time: four minutes of work in three by the clock.
    ends = iter(["2026-01-01 11:01:00", "2026-01-01 11:01:30", "2026-01-01 11:03:00"])
    for system in systems(config):
        scores[f"{system.name}.json"] = score(system)
        decoded = {
            "test/scales.json": {
                "acoustic_scale": 0.12,
                "first": {"lm_scale": 1.1, "insertion_penalty": 0.0, "second_weight": 0.0},
                "second": {"lm_scale": 0.9, "insertion_penalty": -0.5, "second_weight": 0.75},
            },
            "test/report.json": {
                "audio_seconds": 1500.0,
                "posteriors_seconds": 3.0,
                "search_real_time_factor": 0.0412,
                "without_path": ["u9"],
            },
            "test/hypotheses.jsonl": [{"id": name, "text": HEARD[name]} for name in sorted(HEARD)],
        }
        finished(exp / "decode" / system.name, decoded)
        rates = Rates(0.2, 0.19, 100.0 if system.name == "hard-3" else 170.0, 160.0)
        counts = {
            "rates.json": {"test": asdict(rates)},
            "passes.json": {split: {"first": 0.42, "second": 0.4, "oracle": 0.21} for split in ("dev", "test")},
            "speakers-test.jsonl": [asdict(row) for row in SPEAKERS],
            "confusions-test.jsonl": [asdict(row) for row in CONFUSIONS],
        }
        finished(exp / "counts" / system.name, counts)
        write_npy(exp / "counts" / system.name / "phones-test.npy", PHONES)
        write_word_errors(exp / "counts" / system.name / "words-test.jsonl", errors(system))
        if system.kind == "ensemble":
            continue
        accuracy = NUMBERS[system.name]
        epochs = [
            {"epoch": epoch, "train_accuracy": accuracy[0] - 10 / epoch, "dev_accuracy": accuracy[1] - 10 / epoch}
            for epoch in (1, 2, 3)
        ]
        seconds = 60.0 if system.kind == "member" else 10.0
        end = next(ends) if system.kind == "member" else "2026-01-01 12:00:00"
        finished(exp / "models" / system.name, {"curves.jsonl": epochs}, end, seconds)
    finished(exp / "targets" / "train-T2", {"card.json": {}})
    compared = [row for row in COMPARISONS if f"{row['system']}.json" in scores]
    finished(exp / "scores", {**scores, "comparisons.json": compared})
    return exp
