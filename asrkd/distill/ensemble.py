"""The mean of an ensemble's posteriors."""

from collections.abc import Iterable

import torch
from torch import Tensor

from asrkd.distill.checks import check_temperature, upcast


def ensemble_posteriors(
    logits: Tensor | Iterable[Tensor], temperature: float = 1.0, mean: str = "arithmetic"
) -> Tensor:
    """The mean over members of softmax(z / T): (..., C), float32 or float64.

    logits: a stack (M, ..., C), or an iterable of the members' (..., C), of which one at a time is held.
    mean: "arithmetic", or "geometric" (renormalised; the softmax of the mean logits).
    Raises ValueError for an empty ensemble, members of different shapes, another `mean` or a temperature not above 0.
    """
    check_temperature(temperature)
    if mean not in ("arithmetic", "geometric"):
        raise ValueError(f"expected mean to be arithmetic or geometric, found {mean}")
    total: Tensor | None = None
    count = 0
    for member in logits:
        scaled = upcast(member) / temperature
        term = scaled.softmax(-1) if mean == "arithmetic" else scaled.log_softmax(-1)
        if total is not None and term.shape != total.shape:
            raise ValueError(f"expected logits of shape {tuple(total.shape)}, found {tuple(term.shape)}")
        total = term if total is None else total + term
        count += 1
    if total is None:
        raise ValueError("expected at least one member, found none")
    return total / count if mean == "arithmetic" else torch.softmax(total / count, -1)
