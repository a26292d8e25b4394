"""The generalist's soft targets as a specialist is given them: the pdfs of its cluster and the dustbin."""

from typing import NamedTuple

import torch
from torch import Tensor

from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets


class ClusterTargets(NamedTuple):
    """Soft targets to gather by frame, of a store of all pdfs."""

    store: SoftTargetStore
    pdfs: Tensor  # (S,) the cluster
    sampling_ratio: float

    def gather(self, frame_index: Tensor) -> Tensor:
        """(...) positions in the FrameStore to (..., S + 1) float32."""
        found = self.store.gather(frame_index)
        probs = found.dense(self.store.num_pdfs) if isinstance(found, SoftTargets) else found
        return of_cluster(probs, self.pdfs, self.sampling_ratio, self.store.temperature)


def of_cluster(probs: Tensor, pdfs: Tensor, sampling_ratio: float, temperature: float = 1.0) -> Tensor:
    """Probabilities (..., C) at a temperature as those of the pdfs (S,) and, last, of all others: (..., S + 1).

    The generalist says how probable a pdf is in frames as they come. Where frames of the cluster are drawn
    `sampling_ratio` times as often, these pdfs are more probable by that factor before all is scaled to 1: log of it is
    added to their logits, which at the temperature T are divided by T. Without it the soft targets would pull the
    dustbin away from where the hard ones have it, and `dustbin_correction` would correct what is not there.
    """
    inside = probs[..., pdfs]  # (..., S)
    others = (probs.sum(-1, keepdim=True) - inside.sum(-1, keepdim=True)).clamp(min=0)
    weighted = torch.cat([inside * sampling_ratio ** (1 / temperature), others], -1)
    return weighted / weighted.sum(-1, keepdim=True)
