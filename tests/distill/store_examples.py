"""A small store, and random distributions to put into it."""

from pathlib import Path

import torch
from torch import Tensor

from asrkd import SoftTargets, SoftTargetStore
from asrkd.distill.writer import SoftTargetWriter

C = 11


def probabilities(frames: int, seed: int = 0, num_pdfs: int = C) -> Tensor:
    return (3 * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def create(path: Path, top_k: int = 3, shard: str | None = None, temperature: float = 2.0) -> SoftTargetWriter:
    return SoftTargetStore.create(
        path,
        temperature=temperature,
        num_pdfs=C,
        top_k=top_k,
        label_set="labels",
        features="features",
        members=["a", "b"],
        shard=shard,
    )


def named(targets: SoftTargets | Tensor) -> SoftTargets:
    assert isinstance(targets, SoftTargets)
    return targets


def dense(targets: SoftTargets | Tensor) -> Tensor:
    assert isinstance(targets, Tensor)
    return targets
