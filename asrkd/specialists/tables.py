"""What specialists add where more or fewer of them know the correct pdf: the paper's table 4."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkd.distill.checks import check_integers, check_same_shape


@dataclass(frozen=True)
class CoverageRow:
    specialists: int  # whose cluster holds the correct pdf
    frames: int  # of which that is so
    generalist_correct: int  # frames whose most probable pdf is the correct one
    combined_correct: int

    @property
    def generalist_accuracy(self) -> float:
        return self.generalist_correct / self.frames

    @property
    def combined_accuracy(self) -> float:
        return self.combined_correct / self.frames

    @property
    def relative_gain(self) -> float | None:
        """Of the accuracy: 0.1 when the combination is right in a tenth more frames. None without a frame to gain on:
        the generalist has none right."""
        return self.combined_correct / self.generalist_correct - 1 if self.generalist_correct else None


def covering_specialists(labels: Tensor, clusters: Sequence[Tensor], num_pdfs: int) -> Tensor:
    """How many specialists cover the correct pdf of each frame: (N,) int64.

    labels: (N,) integers; clusters: the pdfs (S,) of each specialist.
    Raises ValueError when labels are no vector of integers, or a label or a cluster's pdf is not below num_pdfs.
    """
    _check_pdfs("labels", labels, num_pdfs)
    count = torch.zeros(num_pdfs, dtype=torch.int64, device=labels.device)
    for pdfs in clusters:
        _check_pdfs("pdfs of a cluster", pdfs, num_pdfs)
        count[pdfs.to(labels.device).long()] += 1
    return count[labels.long()]


def coverage_rows(labels: Tensor, generalist: Tensor, combined: Tensor, covering: Tensor) -> list[CoverageRow]:
    """A row for each number of covering specialists that a frame has, from the lowest.

    labels, generalist, combined: (N,) integers, the correct pdf and the most probable ones; covering: (N,), of
    `covering_specialists`.
    Frames without a label are for the caller to leave out. Raises ValueError when a shape or a type does not fit.
    """
    for name, values in (("generalist", generalist), ("combined", combined), ("covering", covering)):
        check_same_shape(name, values.shape, "labels", labels.shape)
        check_integers(name, values)
    numbers, which = covering.unique(return_inverse=True)  # (R,), (N,)
    frames = which.bincount(minlength=len(numbers))
    right, right_combined = (which[top == labels].bincount(minlength=len(numbers)) for top in (generalist, combined))
    columns = (values.tolist() for values in (numbers, frames, right, right_combined))
    return [CoverageRow(*row) for row in zip(*columns, strict=True)]


def _check_pdfs(name: str, values: Tensor, num_pdfs: int) -> None:
    check_integers(name, values)
    if values.ndim != 1:
        raise ValueError(f"expected {name} of shape (N,), found {tuple(values.shape)}")
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < num_pdfs:
        raise ValueError(f"expected {name} from 0 to {num_pdfs - 1}, found {values.min()} to {values.max()}")
