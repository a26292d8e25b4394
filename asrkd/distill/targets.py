"""Soft targets of which only the most probable pdfs are kept."""

from typing import NamedTuple

import torch
from torch import Tensor

TAILS = ("even", "drop", "lump")
Tail = str | Tensor


class SoftTargets(NamedTuple):
    """For each frame the k most probable pdfs of the teacher, and the mass of all the others together."""

    ids: Tensor  # (..., k) integers, no pdf twice in a frame
    probs: Tensor  # (..., k)
    tail: Tensor  # (...); the frame's probs and tail sum to 1

    def to(self, device: torch.device | str) -> "SoftTargets":
        away = torch.device(device).type != "cpu"  # what comes from a GPU without a wait may be read before it is there
        return SoftTargets(*(tensor.to(device, non_blocking=away) for tensor in self))

    def dense(self, num_pdfs: int) -> Tensor:
        """The distribution that the loss sees with an even tail: (..., num_pdfs) of the dtype of `probs`, float32 when
        that is half."""
        k = self.ids.shape[-1]
        if k > num_pdfs:
            raise ValueError(f"expected at most {num_pdfs} pdfs a frame, found ids of shape {tuple(self.ids.shape)}")
        dtype = torch.promote_types(self.probs.dtype, torch.float32)
        share = self.tail.to(dtype).unsqueeze(-1) / max(num_pdfs - k, 1)  # (..., 1)
        spread = share.expand(*share.shape[:-1], num_pdfs) if k < num_pdfs else share.new_zeros(*share.shape[:-1], k)
        return spread.scatter(-1, self.ids.long(), self.probs.to(dtype))  # (..., num_pdfs)
