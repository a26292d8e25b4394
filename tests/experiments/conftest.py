"""A tiny experiment after stage 5, with out-of-fold targets, as the first tests leave it for the next."""

from pathlib import Path

import pytest

from asrkd.config import Config
from asrkd.train.folds import train_fold_teachers
from asrkd.train.members import train_members
from asrkd.train.soft_targets import make_soft_targets
from tests.train.conftest import make_config, make_experiment


def tiny_config() -> Config:
    config = make_config()
    config.train.epochs, config.train.speeds, config.train.epoch_frames = 2, [1.0], 1000
    config.distill.folds, config.distill.fold_members, config.distill.top_k = 2, 1, 3
    return config


@pytest.fixture
def config() -> Config:
    return tiny_config()


@pytest.fixture(scope="session")
def exp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_experiment(tmp_path_factory.mktemp("exp"), {"train": 24, "dev": 8, "test": 8}, speakers=4)
    config = tiny_config()
    train_members(folder, config)
    train_fold_teachers(folder, config)
    make_soft_targets(folder, config)
    return folder
