"""A tiny experiment after stage 3: frames whose pdf can be told from the frame, of a few speakers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.experiment import Step
from asrkd.features.store import write_store
from asrkd.files import write_json, write_npy

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
    align = Step(folder / "align", made_by="stage 3", config={}, inputs={})
    align.begin()
    means = 3 * rng.standard_normal((PDFS, MEL))
    for split, count in utterances.items():
        labels = [rng.integers(0, PDFS, size=rng.integers(20, 60)) for _ in range(count)]
        frames = [means[own] + rng.standard_normal((len(own), MEL)) for own in labels]
        rows = [(f"{split}-{u}", f"speaker-{u % speakers}", own) for u, own in enumerate(frames)]
        step = Step(folder / "features" / split, made_by="stage 1", config={}, inputs={})
        step.begin()
        write_store(step.folder, rows, num_mel=MEL, dtype="float16")
        step.finish(["frames.npy", "utterances.jsonl"])
        labels[3] = np.full_like(labels[3], 65535)  # an utterance that could not be aligned
        write_npy(align.folder / split / "labels.npy", np.concatenate(labels).astype(np.uint16))
    write_json(align.folder / "label_set.json", {"num_pdfs": PDFS, "phones": [], "hash": "labels"})
    align.finish(["label_set.json", *(f"{split}/labels.npy" for split in utterances)])
    return folder
