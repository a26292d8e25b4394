"""A tiny experiment after stage 3: frames whose pdf can be told from the frame, of a few speakers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from tests.tiny_frames import write_experiment

MEL, PDFS = 6, 5


@pytest.fixture
def config() -> Config:
    return make_config()


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return make_experiment(tmp_path, {"train": 24, "dev": 8}, speakers=2)


def make_config() -> Config:
    config = Config()
    config.model.hidden_layers, config.model.hidden_size, config.model.left, config.model.right = 1, 32, 2, 1
    config.features.num_mel_bins, config.train.speeds = MEL, [0.9, 1.0, 1.1]
    config.train.batch_size, config.train.epoch_frames, config.train.epochs = 32, 1500, 4
    config.train.precision = "float32"
    config.ensemble.members = 2
    config.distill.top_k = 2
    config.limited.shares = [0.3]
    config.run.jobs = 1
    return config


def make_experiment(folder: Path, utterances: Mapping[str, int], speakers: int) -> Path:
    """utterances: of each split."""
    rng = np.random.default_rng(0)
    means = 3 * rng.standard_normal((PDFS, MEL))

    def draw_labels() -> np.ndarray:
        return rng.integers(0, PDFS, size=rng.integers(20, 60))

    return write_experiment(folder, rng, means, draw_labels, utterances=utterances, speakers=speakers)
