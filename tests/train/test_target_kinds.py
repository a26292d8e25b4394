"""Soft targets of several kinds, made in one pass over the data."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets
from asrkd.experiment import identity
from asrkd.features.store import FrameStore
from asrkd.train import soft_targets
from asrkd.train.folds import Group
from asrkd.train.members import train_members
from asrkd.train.training import TargetKind
from tests.train.conftest import PDFS
from tests.train.test_stages import by_hand

MEMBERS = ["member-01", "member-02"]


def test_each_kind_is_of_its_own_mean_teachers_and_temperature(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config.train.epochs = 1
    train_members(exp, config)
    frames = FrameStore.open(exp / "features" / "train")
    kinds = [
        TargetKind("targets/all", 2.0, 0),
        TargetKind("targets/first", 1.0, 0, teachers=1),
        TargetKind("targets/geometric", 3.0, 0, "geometric"),
        TargetKind("targets/top", 2.0, 2),
    ]
    groups = [Group(MEMBERS, frames.ids, "stage 4")]
    soft_targets.write_targets(exp, config, kinds[1:2], groups, "a test")  # what is there is left as it is
    capsys.readouterr()
    soft_targets.write_targets(exp, config, kinds, groups, "a test")
    assert f"{exp / 'targets/first'}: finished, skipped" in capsys.readouterr().out
    first, second = (by_hand(exp, [name], "train", 3.0) for name in MEMBERS)
    products = {name: np.sqrt(first[name] * second[name]) for name in frames.ids}
    expected = {
        "all": by_hand(exp, MEMBERS, "train", 2.0),
        "first": by_hand(exp, MEMBERS[:1], "train", 1.0),
        "geometric": {name: own / own.sum(1, keepdims=True) for name, own in products.items()},
    }
    hashes = [identity(exp / "models" / name, "stage 4") for name in MEMBERS]
    for kind in kinds:
        store = SoftTargetStore.open(exp / kind.folder, verify=True)
        assert (store.temperature, store.top_k) == (kind.temperature, kind.top_k)
        assert store.card["members"] == hashes[: kind.teachers]
        if not kind.top_k:
            for name, own in expected[Path(kind.folder).name].items():
                # Eight bits of a logarithm to 16 nats: 3 % of a probability.
                np.testing.assert_allclose(store[name], own, atol=2e-3, rtol=0.05)
        else:
            for name, own in expected["all"].items():
                found = store[name]
                assert isinstance(found, SoftTargets)
                np.testing.assert_allclose(found.probs, np.sort(own, 1)[:, : -kind.top_k - 1 : -1], atol=1e-3)
                assert found.dense(PDFS).shape == own.shape
