"""A tiny experiment after stage 3, of twelve pdfs in three groups: within a group frames are easily confused."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.align.topology import monophone_pdfs
from asrkd.config import Config
from asrkd.experiment import Step
from asrkd.features.store import write_store
from asrkd.files import write_json, write_npy
from asrkd.train.members import train_members

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
    align = Step(folder / "align", made_by="stage 3", config={}, inputs={})
    align.begin()
    group_of = {pdf: number for number, group in enumerate(GROUPS) for pdf in group}
    centres = 6 * np.eye(MEL)[: len(GROUPS)]
    means = np.stack([centres[group_of[pdf]] for pdf in range(PDFS)]) + 0.7 * rng.standard_normal((PDFS, MEL))
    share = np.linspace(1, 3, PDFS) / np.linspace(1, 3, PDFS).sum()  # some pdfs are rarer
    for split, utterances in (("train", 30), ("dev", 8), ("test", 8)):
        labels = [rng.choice(PDFS, size=rng.integers(30, 60), p=share) for _ in range(utterances)]
        frames = [means[own] + rng.standard_normal((len(own), MEL)) for own in labels]
        rows = [(f"{split}-{u}", f"speaker-{u % 2}", own) for u, own in enumerate(frames)]
        step = Step(folder / "features" / split, made_by="stage 1", config={}, inputs={})
        step.begin()
        write_store(step.folder, rows, num_mel=MEL, dtype="float16")
        step.finish(["frames.npy", "utterances.jsonl"])
        labels[3] = np.full_like(labels[3], 65535)  # an utterance that could not be aligned
        write_npy(align.folder / split / "labels.npy", np.concatenate(labels).astype(np.uint16))
    write_npy(align.folder / "pdfs.npy", monophone_pdfs(PHONES))
    write_json(align.folder / "label_set.json", {"num_pdfs": PDFS, "phones": ["SIL", "AA", "B", "K"], "hash": "labels"})
    align.finish(["label_set.json", "pdfs.npy", *(f"{split}/labels.npy" for split in ("train", "dev", "test"))])
    train_members(folder, make_config())
    return folder


@pytest.fixture
def config() -> Config:
    return make_config()


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return make_experiment(tmp_path / "exp")
