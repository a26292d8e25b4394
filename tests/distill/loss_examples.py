"""Random logits, and the most probable classes of a distribution, for the tests of the loss."""

import torch
from torch import Tensor

from asrkd import SoftTargets

C = 7  # classes


def logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def top_k(probs: Tensor, k: int) -> SoftTargets:
    kept, ids = probs.topk(k)
    return SoftTargets(ids, kept, 1 - kept.sum(-1))
