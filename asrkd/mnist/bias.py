"""The bias correction of section 3: one offset for the logits of classes that a transfer set made too rare or too
common."""

from collections.abc import Sequence

import torch
from torch import Tensor


def shifted(logits: Tensor, classes: Sequence[int], offset: float) -> Tensor:
    """logits (N, C) with `offset` added to those of `classes`."""
    result = logits.clone()
    result[:, list(classes)] += offset
    return result


def best_offset(logits: Tensor, labels: Tensor, classes: Sequence[int]) -> float:
    """The offset for `classes` with the fewest errors; if several cases have as few, the one nearest to 0.

    logits: (N, C) float, labels: (N,) integers. An image is taken for one of `classes` above the offset that lifts the
    best of them to the best other one, so that there are N + 1 cases, which are all counted; the offset returned lies
    in the middle of one. Raises ValueError when there is no image, or no class or every class is in `classes`.
    """
    inside = torch.zeros(logits.shape[1], dtype=torch.bool)
    inside[list(classes)] = True
    if not len(logits) or not 0 < int(inside.sum()) < len(inside):
        raise ValueError(f"expected images and some of the classes, found {len(logits)} and {list(classes)}")
    logits = logits.double()
    best_in, place_in = logits[:, inside].max(1)  # (N,)
    best_out, place_out = logits[:, ~inside].max(1)
    right_in = inside.nonzero()[:, 0][place_in] == labels
    right_out = (~inside).nonzero()[:, 0][place_out] == labels
    limits, order = (best_out - best_in).sort()
    gained = (right_in.int() - right_out.int())[order].cumsum(0)  # above each limit, against an offset below all
    right = torch.cat([gained.new_zeros(1), gained])  # (N + 1,), of the offsets between one limit and the next
    edges = torch.cat([limits[:1] - 2, limits, limits[-1:] + 2])  # (N + 2,); the outer cases have no end
    right[edges[:-1] == edges[1:]] = -len(logits) - 1  # no offset lies between equal limits
    middle = (edges[:-1] + edges[1:])[right == right.max()] / 2
    return float(middle[middle.abs().argmin()])
