"""A tiny experiment after stage 3, of twelve pdfs in three groups: within a group frames are easily confused."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.align.topology import monophone_pdfs
from asrkd.config import Config
from asrkd.train.members import train_members
from tests.tiny_frames import write_experiment

MEL, PHONES = 6, 4
GROUPS = [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]  # the first, second and third state of each phone
PDFS = 3 * PHONES


def make_config() -> Config:
    config = Config()
    config.model.hidden_layers, config.model.hidden_size, config.model.left, config.model.right = 1, 32, 1, 0
    config.features.num_mel_bins = MEL
    config.train.batch_size, config.train.epoch_frames, config.train.epochs = 32, 2000, 2
    config.train.precision = "float32"
    config.ensemble.members = 1
    config.distill.top_k, config.distill.epochs = 0, 2
    config.specialists.count, config.specialists.pdfs, config.specialists.epochs = len(GROUPS), 4, 2
    config.run.jobs = 1
    return config


def make_experiment(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    group_of = {pdf: number for number, group in enumerate(GROUPS) for pdf in group}
    centres = 6 * np.eye(MEL)[: len(GROUPS)]
    means = np.stack([centres[group_of[pdf]] for pdf in range(PDFS)]) + 0.7 * rng.standard_normal((PDFS, MEL))
    share = np.linspace(1, 3, PDFS) / np.linspace(1, 3, PDFS).sum()  # some pdfs are rarer

    def draw_labels() -> np.ndarray:
        return rng.choice(PDFS, size=rng.integers(30, 60), p=share)

    utterances = {"train": 30, "dev": 8, "test": 8}
    phones, pdfs = ["SIL", "AA", "B", "K"], monophone_pdfs(PHONES)
    write_experiment(folder, rng, means, draw_labels, utterances=utterances, speakers=2, phones=phones, pdfs=pdfs)
    train_members(folder, make_config())
    return folder


@pytest.fixture
def config() -> Config:
    return make_config()


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return make_experiment(tmp_path / "exp")
