import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut, SupervisionSegment

from asrkd.config import Config, LimitedConfig, ModelConfig, RunConfig
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.splice import splice
from asrkd.features.store import FrameStore, write_store
from asrkd.files import read_json, read_jsonl, write_json, write_jsonl, write_npy
from asrkd.models.dnn import AcousticModel, load_model, save_model
from asrkd.report.scores import read_scores
from asrkd.score.prepare import score_systems
from asrkd.systems import systems

MEL, PDFS, FRAMES = 3, 5, 12
SPLITS = {"train": 20, "dev": 3, "test": 3}  # utterances
HEARD = {"member-01": "ONE TWO", "member-02": "ONE", "ensemble": "ONE TWO THREE", "hard-50": "", "soft-50": "ONE TWO"}


@pytest.fixture
def config() -> Config:
    config = Config(model=ModelConfig(hidden_layers=1, hidden_size=4, left=2, right=1))
    config.limited = LimitedConfig(shares=[0.5])
    config.ensemble.members = 2
    config.train.precision = "float32"
    config.run.jobs = 1
    return config


@pytest.fixture
def exp(tmp_path: Path, config: Config) -> Path:
    """An experiment that has come as far as stage 9, with random nets and made-up hypotheses."""
    rng = np.random.default_rng(1)
    data, align = finishable(tmp_path / "data"), finishable(tmp_path / "align")
    for split, utterances in SPLITS.items():
        ids = [f"{split}-{number}" for number in range(utterances)]
        CutSet.from_cuts(map(cut, ids)).to_file(data.folder / f"{split}.jsonl.gz")
        features = finishable(tmp_path / "features" / split)
        frames = ((name, f"s{name[-1]}", rng.normal(size=(FRAMES, MEL)).astype(np.float32)) for name in ids)
        write_store(features.folder, frames, num_mel=MEL, dtype="float32")
        features.finish(["frames.npy", "utterances.jsonl"])
        labels = rng.integers(0, PDFS, size=utterances * FRAMES).astype(np.uint16)
        labels[::7] = 65535
        write_npy(align.folder / split / "labels.npy", labels)
    data.finish([f"{split}.jsonl.gz" for split in SPLITS])
    write_npy(align.folder / "pdfs.npy", np.tile(np.array([[0, 1, 2], [3, 4, 4]]), (2, 1, 1)))  # SIL and one phone
    align.finish(["pdfs.npy", *(f"{split}/labels.npy" for split in SPLITS)])
    for number, system in enumerate(systems(config)):
        if system.kind != "ensemble":
            write_model(tmp_path, config, system.name, number)
        texts = {
            split: {f"{split}-{u}": HEARD.get(system.name, "TWO") for u in range(SPLITS[split])}
            for split in ("dev", "test")
        }
        write_hypotheses(tmp_path, system.name, texts)
    return tmp_path


def write_hypotheses(exp: Path, system: str, texts: dict[str, dict[str, str]]) -> None:
    step = finishable(exp / "decode" / system)
    for split, hypotheses in texts.items():
        rows = ({"id": name, "text": text} for name, text in hypotheses.items())
        write_jsonl(step.folder / split / "hypotheses.jsonl", rows)
    step.finish([f"{split}/hypotheses.jsonl" for split in texts])


def finishable(folder: Path) -> Step:
    step = Step(folder, made_by="a test", config={}, inputs={})
    assert step.begin()
    return step


def cut(name: str) -> MonoCut:
    said = SupervisionSegment(id=name, recording_id=name, start=0, duration=1, text="ONE TWO", speaker=f"s{name[-1]}")
    return MonoCut(id=name, start=0, duration=1, channel=0, supervisions=[said])


def write_model(exp: Path, config: Config, name: str, seed: int) -> None:
    step = finishable(exp / "models" / name)
    model = AcousticModel(MEL, PDFS, config.model)
    model.initialise(seed)
    save_model(step.folder, model, {})
    step.finish(["model.safetensors", "card.json"])


def test_scores_of_every_system(exp: Path, config: Config) -> None:
    score_systems(exp, config)
    ensemble = read_json(exp / "scores" / "ensemble.json")
    assert ensemble["test"]["words"] == 6
    assert (ensemble["test"]["insertions"], ensemble["test"]["wer"]) == (3, 0.5)
    assert ensemble["test"]["interval"] == [0.5, 0.5]  # each utterance has the same errors
    assert (ensemble["test"]["interval_by_speaker"], ensemble["test"]["speakers"]) == ([0.5, 0.5], 3)
    assert read_json(exp / "scores" / "hard-50.json")["dev"]["deletions"] == 6
    assert len(read_scores(exp, config).all()) == len(systems(config))

    store, labels = FrameStore.open(exp / "features" / "dev"), np.load(exp / "align" / "dev" / "labels.npy")
    one, two = (softmax(exp / "models" / name, store, config) for name in ("member-01", "member-02"))
    posteriors = (one + two) / 2
    rows = np.flatnonzero(labels != 65535)
    assert ensemble["dev"]["frames"] == len(rows)
    assert ensemble["dev"]["frame_accuracy"] == np.mean(posteriors.argmax(1)[rows] == labels[rows])
    expected = -np.log(posteriors[rows, labels[rows]]).mean()
    assert math.isclose(ensemble["dev"]["cross_entropy"], expected, rel_tol=1e-5)
    half = read_json(exp / "scores" / "soft-50.json")["train"]["frames"]
    assert 0.4 < half / ensemble["train"]["frames"] < 0.6


def test_counts_of_a_system(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    score_systems(exp, config)
    folder = exp / "counts" / "ensemble"
    assert [row["speaker"] for row in read_jsonl(folder / "speakers-test.jsonl")] == ["s0", "s1", "s2"]
    assert read_jsonl(folder / "speakers-dev.jsonl")[0] == {
        "speaker": "s0",
        "utterances": 1,
        "words": 2,
        "substitutions": 0,
        "deletions": 0,
        "insertions": 1,
        "wer": 0.5,
    }
    (three,) = read_jsonl(folder / "confusions-test.jsonl")
    assert three == {"kind": "insertion", "reference": "", "hypothesis": "THREE", "count": 3}

    store, labels = FrameStore.open(exp / "features" / "test"), np.load(exp / "align" / "test" / "labels.npy")
    one, two = (softmax(exp / "models" / name, store, config) for name in ("member-01", "member-02"))
    posteriors = one + two
    rows = np.flatnonzero(labels != 65535)
    heard, said = (posteriors.argmax(1)[rows] >= 3).astype(int), (labels[rows] >= 3).astype(int)
    phones = np.load(folder / "phones-test.npy")
    assert phones.tolist() == [[int(((said == a) & (heard == b)).sum()) for b in (0, 1)] for a in (0, 1)]

    rates = read_json(folder / "rates.json")["test"]
    assert math.isclose(rates["silence"], np.mean(heard == 0))
    assert math.isclose(rates["labelled_silence"], np.mean(said == 0))
    minutes = 3 * FRAMES * config.features.frame_shift / 1000 / 60
    assert math.isclose(rates["words_a_minute"], 9 / minutes)
    assert math.isclose(rates["reference_words_a_minute"], 6 / minutes)
    # 9 of 6 words is no more than half as many again, 0 of 6 is.
    printed = capsys.readouterr().out
    words = "hears 0 words a minute, the references have 1000: are priors and labels those of its data?"
    assert f"warning: 50 % of the data, hard targets on test {words}" in printed
    assert "ensemble of 2 on test hears 15" not in printed


def softmax(folder: Path, store: FrameStore, config: Config) -> np.ndarray:
    model, _ = load_model(folder)
    place = torch.arange(len(store.frames))
    first = place // FRAMES * FRAMES
    frames = torch.from_numpy(np.array(store.frames))
    inputs = splice(frames, place, first, first + FRAMES - 1, config.model.left, config.model.right)
    return torch.softmax(model(inputs).double(), 1).detach().numpy()


def test_comparisons(exp: Path, config: Config) -> None:
    score_systems(exp, config)
    rows = {(row["system"], row["baseline"]): row for row in read_json(exp / "scores" / "comparisons.json")}
    assert list(rows) == [
        ("ensemble", "member-01"),
        ("ensemble", "members"),
        ("student-T2", "member-01"),
        ("student-T2", "members"),
        ("student-T2", "ensemble"),
        ("soft-50", "hard-50"),
    ]
    assert rows["ensemble", "member-01"]["difference"] == 0.5
    assert rows["ensemble", "members"]["difference"] == 0.5 - (0 + 0.5) / 2
    assert rows["ensemble", "members"]["better"] == 0
    assert rows["soft-50", "hard-50"]["interval"] == [-1, -1]
    assert rows["soft-50", "hard-50"]["better"] == 1
    # Each utterance is a segment and a speaker's only one: ONE TWO, nothing at all, ONE TWO THREE.
    assert rows["soft-50", "hard-50"]["interval_by_speaker"] == [-1, -1]
    assert (rows["soft-50", "hard-50"]["segments"], rows["soft-50", "hard-50"]["difference_per_segment"]) == (3, -2)
    assert rows["ensemble", "members"]["difference_per_segment"] == 1 - (0 + 1) / 2
    assert (rows["ensemble", "members"]["z"], rows["ensemble", "members"]["p"]) == (None, None)  # all alike


def test_a_count_of_an_older_version_is_done_again(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    score_systems(exp, config)
    for path in exp.glob("counts/*/stamp.json"):
        stamp = read_json(path)
        del stamp["config"]["confusions"]
        write_json(path, stamp)
    capsys.readouterr()
    score_systems(exp, config)
    assert "ensemble: done again, since confusions was None, is 20" in capsys.readouterr().out


def test_only_what_changed_is_counted_again(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    score_systems(exp, config)
    counted = (exp / "counts" / "member-01" / "stamp.json").read_bytes()
    capsys.readouterr()
    score_systems(exp, config)
    assert str(exp / "scores") + ": finished, skipped" in capsys.readouterr().out
    folder = exp / "decode" / "student-T2"
    said = {
        split: {row["id"]: row["text"] for row in read_jsonl(folder / split / "hypotheses.jsonl")}
        for split in ("dev", "test")
    }
    del said["test"]["test-0"]
    shutil.rmtree(folder)
    write_hypotheses(exp, "student-T2", said)
    score_systems(exp, config)
    told = capsys.readouterr().out
    assert "student-T2: done again, since the input decode/student-T2 changed" in told
    assert "1 utterances of" in told
    assert read_json(exp / "scores" / "student-T2.json")["test"]["missing"] == ["test-0"]
    assert (exp / "counts" / "member-01" / "stamp.json").read_bytes() == counted


def test_missing_stages_are_named(exp: Path, config: Config) -> None:
    (exp / "decode" / "hard-50" / "dev" / "hypotheses.jsonl").unlink()
    with pytest.raises(UserError, match="missing or altered since stage 9 wrote it"):
        score_systems(exp, config)
    (exp / "models" / "member-02" / "stamp.json").unlink()
    with pytest.raises(UserError, match="stage 4 makes it"):
        score_systems(exp, config)


def test_a_gpu_scores_one_system_at_a_time(exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.run.jobs = 4
    jobs_at_a_time = []

    def one_after_the_other(function: Callable[..., None], jobs: list[Any], run: RunConfig, **_: Any) -> None:
        jobs_at_a_time.append(run.jobs)
        for job in jobs:
            function(*job)

    monkeypatch.setattr("asrkd.score.prepare.parallel", one_after_the_other)
    score_systems(exp, config)
    monkeypatch.setattr("asrkd.train.device.choose_device", lambda name: torch.device("cuda"))
    score_systems(exp, config, force=True)
    assert jobs_at_a_time == [4, 1]
