"""A tiny experiment after stage 3: frames whose pdf can be told from the frame, of two speakers."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.experiment import Step, write_json, write_npy
from asrkd.features.store import write_store

MEL, PDFS = 6, 5


@pytest.fixture
def config() -> Config:
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


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    align = Step(tmp_path / "align", made_by="stage 3", config={}, inputs={})
    align.begin()
    means = 3 * rng.standard_normal((PDFS, MEL))
    for split, utterances in (("train", 24), ("dev", 8)):
        labels = [rng.integers(0, PDFS, size=rng.integers(20, 60)) for _ in range(utterances)]
        frames = [means[own] + rng.standard_normal((len(own), MEL)) for own in labels]
        rows = [(f"{split}-{u}", f"speaker-{u % 2}", own) for u, own in enumerate(frames)]
        folder = tmp_path / "features" / split
        step = Step(folder, made_by="stage 1", config={}, inputs={})
        step.begin()
        write_store(folder, rows, num_mel=MEL, dtype="float16")
        step.finish(["frames.npy", "utterances.jsonl"])
        labels[3] = np.full_like(labels[3], 65535)  # an utterance that could not be aligned
        write_npy(align.folder / split / "labels.npy", np.concatenate(labels).astype(np.uint16))
    write_json(align.folder / "label_set.json", {"num_pdfs": PDFS, "phones": [], "hash": "labels"})
    align.finish(["label_set.json", "train/labels.npy", "dev/labels.npy"])
    return tmp_path
