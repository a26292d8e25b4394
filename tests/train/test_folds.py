"""Out-of-fold targets: who gave them, and that it never heard the speaker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json
from asrkd.train.folds import expect_fold_teachers, train_fold_teachers
from asrkd.train.soft_targets import make_soft_targets
from asrkd.train.students import train_students
from tests.train.conftest import PDFS, make_experiment
from tests.train.test_stages import by_hand

TARGETS = "targets/train-T2"


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return make_experiment(tmp_path, {"train": 24, "dev": 8}, speakers=4)


@pytest.fixture
def folded(config: Config) -> Config:
    """Two folds, two teachers each."""
    config.distill.folds, config.distill.top_k = 2, PDFS
    config.train.epochs = 1
    return config


def card(exp: Path, name: str) -> dict[str, object]:
    return dict(read_json(exp / "models" / name / "card.json"))


def test_targets_come_from_those_that_never_heard_the_speaker(
    exp: Path, folded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrkd.train.target_shards.SHARD_FRAMES", 200)  # several shards a fold
    train_fold_teachers(exp, folded)
    make_soft_targets(exp, folded)
    train_students(exp, folded)
    frames = FrameStore.open(exp / "features" / "train")
    store = SoftTargetStore.open(exp / TARGETS, verify=True)
    assert len(store.shards) > 4
    speakers = set(frames.speakers)
    left_out = {fold: set(card(exp, f"fold-{fold}-member-01")["left_out_speakers"]) for fold in (1, 2)}  # type: ignore[call-overload]
    assert left_out[1] | left_out[2] == speakers and not left_out[1] & left_out[2]
    labels = np.load(exp / "align" / "train" / "labels.npy")
    of_frame = np.repeat(frames.speakers, frames.counts)
    for fold, own in left_out.items():
        names = [f"fold-{fold}-member-01", f"fold-{fold}-member-02"]
        others = int((~np.isin(of_frame, sorted(own)) & (labels != 65535)).sum())
        for name in names:
            assert card(exp, name)["left_out_speakers"] == sorted(own) and card(exp, name)["frames"] == others
        expected = by_hand(exp, names, "train", 2.0)
        for name, speaker in zip(frames.ids, frames.speakers, strict=True):
            if speaker in own:
                found = store[name]
                assert not isinstance(found, torch.Tensor)
                np.testing.assert_allclose(found.dense(PDFS).numpy(), expected[name], atol=1e-3)
    members = [read_json(exp / "models" / f"fold-{f}-member-0{m}" / "stamp.json")["identity"] for f, m in _pairs()]
    assert store.card["members"] == members and len(set(members)) == 4
    assert card(exp, "student-T2")["dev_accuracy"] > 90  # type: ignore[operator]


def test_a_teacher_does_not_read_the_frames_of_its_fold(exp: Path, folded: Config) -> None:
    """Frames of the first fold that are no numbers stop the second fold's teachers, and not the first's."""
    train_fold_teachers(exp, folded)
    own = set(card(exp, "fold-1-member-01")["left_out_speakers"])  # type: ignore[call-overload]
    frames = FrameStore.open(exp / "features" / "train")
    values = np.load(frames.folder / "frames.npy")
    values[np.repeat([speaker in own for speaker in frames.speakers], frames.counts)] = np.nan
    np.save(frames.folder / "frames.npy", values)
    before = read_json(exp / "models" / "fold-1-member-02" / "stamp.json")["identity"]
    with pytest.raises(UserError, match=r"fold-2-member-01: the loss is nan"):
        train_fold_teachers(exp, folded, force=True)
    again = read_json(exp / "models" / "fold-1-member-02" / "stamp.json")
    assert (again["state"], again["identity"]) == ("finished", before)


def test_other_folds_make_other_targets(exp: Path, folded: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="fold-1-member-01: not there yet; stage 5"):
        make_soft_targets(exp, folded)
    train_fold_teachers(exp, folded)
    make_soft_targets(exp, folded)
    first = read_json(exp / TARGETS / "card.json")["members"]
    folded.distill.folds, folded.distill.fold_members = 4, 1
    with pytest.raises(UserError, match="fold-1-member-01.*found one of other folds"):
        make_soft_targets(exp, folded)  # it has heard one of the two speakers that it left out
    train_fold_teachers(exp, folded)
    capsys.readouterr()
    make_soft_targets(exp, folded)
    printed = capsys.readouterr().out
    assert f"{exp / TARGETS}: done again, since distill.fold_members was 2, is 1; distill.folds was 2, is 4" in printed
    assert "24 utterances by the 1 of 4 teachers that never heard their speaker" in printed
    assert not set(first) & set(read_json(exp / TARGETS / "card.json")["members"])
    folded.distill.folds = 2
    with pytest.raises(UserError, match=r"found one of other folds; train it again with: asrkd fold-teachers"):
        make_soft_targets(exp, folded)


def test_teachers_of_other_settings_are_no_teachers_of_the_configs(exp: Path, folded: Config) -> None:
    train_fold_teachers(exp, folded)
    expect_fold_teachers(exp, folded)
    for section, key, message in (("train", "epochs", r"train\.epochs=1"), ("ensemble", "seed", "seed=1")):
        other = replace(folded, **{section: replace(getattr(folded, section), **{key: 2})})
        for use in (expect_fold_teachers, make_soft_targets):
            with pytest.raises(UserError, match=rf"fold-1-member-01: made with {message}, .* run stage 5 again"):
                use(exp, other)


def test_a_killed_call_goes_on(exp: Path, folded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkd.train.target_shards.SHARD_FRAMES", 200)
    train_fold_teachers(exp, folded)
    make_soft_targets(exp, folded)
    stamp = read_json(exp / TARGETS / "stamp.json")
    shards = sorted((exp / TARGETS).glob("*.targets"))
    write_json(exp / TARGETS / "stamp.json", {key: stamp[key] for key in ("config", "inputs")} | {"state": "begun"})
    for shard in shards[1:-1]:
        shard.unlink()
    kept = shards[0].stat().st_mtime_ns
    make_soft_targets(exp, folded)
    assert shards[0].stat().st_mtime_ns == kept
    assert read_json(exp / TARGETS / "stamp.json")["identity"] == stamp["identity"]


def test_without_folds_there_are_no_other_teachers(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    train_fold_teachers(exp, config)
    assert "distill.folds=0" in capsys.readouterr().out and not (exp / "models").exists()
    config.distill.folds = 5
    with pytest.raises(UserError, match=r"at least distill\.folds=5 speakers, found 4"):
        train_fold_teachers(exp, config)


def _pairs() -> list[tuple[int, int]]:
    return [(fold, member) for fold in (1, 2) for member in (1, 2)]
