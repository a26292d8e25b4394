"""Soft targets at other speeds: what the teachers say of a frame as the student hears it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.models.dnn import load_model
from asrkd.train.batches import batches
from asrkd.train.data import FrameData
from asrkd.train.members import train_members
from asrkd.train.perturb import mel_warp
from asrkd.train.soft_targets import make_soft_targets
from asrkd.train.students import train_students

SPEED = 0.8


def played(own: np.ndarray, frame: int, bins: np.ndarray) -> np.ndarray:
    """The window of two frames before and one after, in float64, by interpolation between neighbours."""
    rows = []
    for offset in (-2, -1, 0, 1):
        place = min(max(frame + SPEED * offset, 0), len(own) - 1)
        below = int(place)
        above = min(below + 1, len(own) - 1)
        rows.append((1 - (place - below)) * own[below] + (place - below) * own[above])
    return np.concatenate([row @ bins for row in rows])


def test_the_teachers_hear_what_the_student_hears(exp: Path, config: Config) -> None:
    config.distill.speeds = [SPEED, 1.0]
    config.distill.top_k = 0
    train_members(exp, config)
    make_soft_targets(exp, config)
    store = FrameStore.open(exp / "features" / "train")
    models = [load_model(exp / "models" / name)[0].double() for name in ("member-01", "member-02")]
    bins = mel_warp(SPEED, config.features).double().numpy()
    stored = {speed: SoftTargetStore.open(exp / f"targets/train-T2{end}") for speed, end in ((SPEED, "-x0.8"), (1, ""))}
    apart = 0.0
    for name in store.ids[:3]:
        own = store.utterance(name).astype(np.float64)
        windows = torch.from_numpy(np.stack([played(own, frame, bins) for frame in range(len(own))]))
        with torch.no_grad():
            expected = sum((model(windows) / 2).softmax(-1) for model in models) / 2
        found, usual = stored[SPEED][name], stored[1][name]
        assert isinstance(expected, Tensor) and isinstance(found, Tensor) and isinstance(usual, Tensor)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=0.02)  # 8 bits a logit
        apart = max(apart, float((found - usual).abs().max()))
    assert apart > 0.1

    train_students(exp, config)
    card = read_json(exp / "models" / "student-T2" / "card.json")
    assert card["train"]["speeds"] == [SPEED, 1.0]
    assert {"targets/train-T2", "targets/train-T2-x0.8"} <= set(card["inputs"])
    assert card["dev_accuracy"] > 90


def test_a_speed_without_targets_names_the_stage(exp: Path, config: Config) -> None:
    train_members(exp, config)
    make_soft_targets(exp, config)
    config.distill.speeds = [1.0, SPEED]
    with pytest.raises(UserError, match=r"train-T2-x0\.8: not there yet; stage 5"):
        train_students(exp, config)


class Told:
    """Targets that say which speed they are of, and which frame."""

    def __init__(self, speed: int, sparse: bool) -> None:
        self.speed, self.sparse = speed, sparse

    def gather(self, frame_index: Tensor) -> SoftTargets | Tensor:
        told = torch.stack([torch.full_like(frame_index, self.speed), frame_index], 1)  # (B, 2)
        return SoftTargets(told, told, told[:, 1]) if self.sparse else told


@pytest.mark.parametrize("sparse", [False, True])
def test_each_frame_of_a_batch_has_the_targets_of_its_speed(exp: Path, config: Config, sparse: bool) -> None:
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    positions = data.positions(torch.arange(20).view(2, 10) * 7 % len(data))
    stores = [Told(speed, sparse) for speed in range(3)]
    for row, batch in zip(positions, batches(data, stores, positions, 3, torch.device("cpu")), strict=True):
        assert batch.counts == [4, 3, 3]
        expected = torch.stack([torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2]), row], 1)
        targets = batch.targets
        if sparse:
            assert isinstance(targets, SoftTargets)
            assert torch.equal(targets.ids, expected) and torch.equal(targets.tail, row)
        else:
            assert isinstance(targets, Tensor) and torch.equal(targets, expected)
