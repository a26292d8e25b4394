"""The distillation loss on frames.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2: for the student's logits
z, the hard label y and the teacher's distribution p at temperature T,

    hard_weight * CE(y, softmax(z)) + (1 - hard_weight) * T**2 * CE(p, softmax(z / T)),

each a mean over the frames that count. The gradient of CE(p, softmax(z / T)) shrinks as 1 / T**2; the factor T**2
keeps the balance between both terms when T is changed.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asrkd.distill.targets import SoftTargets


class LossTerms(NamedTuple):
    """Scalars, on the device of the logits. A term of weight 0 is not computed and is 0."""

    total: Tensor
    soft: Tensor  # CE(p, softmax(z / T)), without the factor T**2
    hard: Tensor  # CE(y, softmax(z))
    frames: Tensor  # how many counted


class DistillationLoss(nn.Module):
    """The weighted sum of the hard and the soft cross-entropy, for logits of any leading shape.

    Raises ValueError when `temperature` is not above 0 or `hard_weight` is outside [0, 1].
    """

    def __init__(self, temperature: float = 2.0, hard_weight: float = 0.5) -> None:
        super().__init__()
        _check_temperature(temperature)
        if not 0 <= hard_weight <= 1:
            raise ValueError(f"expected a hard_weight from 0 to 1, found {hard_weight}")
        self.temperature = temperature
        self.hard_weight = hard_weight

    def forward(
        self,
        student_logits: Tensor,
        targets: Tensor | SoftTargets | None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The scalar to minimise; the arguments are those of `terms`."""
        return self.terms(student_logits, targets, labels, mask).total

    def terms(
        self,
        student_logits: Tensor,
        targets: Tensor | SoftTargets | None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> LossTerms:
        """The loss and its parts.

        student_logits: (..., C); half and bfloat16 are computed in float32.
        targets: probabilities (..., C) at this temperature, or SoftTargets; None only when hard_weight is 1.
        labels: integers (...); None only when hard_weight is 0.
        mask: bool (...), True where the frame counts. What stands in other frames, NaN too, has no influence.

        Raises ValueError when a shape does not fit the logits' or something needed is None.
        """
        logits = _upcast(student_logits)
        if mask is not None:
            _same_shape("mask", mask.shape, "logits", logits.shape[:-1])
            logits = torch.where(mask.unsqueeze(-1), logits, 0)
            frames = mask.sum()
        else:
            frames = torch.full((), logits[..., 0].numel(), device=logits.device)
        count = frames.clamp(min=1).to(logits.dtype)

        soft = hard = logits.new_zeros(())
        if self.hard_weight < 1:
            if targets is None:
                raise ValueError(f"expected targets, found None; only hard_weight=1 needs none, not {self.hard_weight}")
            soft = _masked(soft_cross_entropy(logits, targets, self.temperature, mask=mask), mask).sum() / count
        if self.hard_weight > 0:
            if labels is None:
                raise ValueError(f"expected labels, found None; only hard_weight=0 needs none, not {self.hard_weight}")
            hard = _hard_cross_entropy(logits, labels, mask).sum() / count
        total = self.hard_weight * hard + (1 - self.hard_weight) * self.temperature**2 * soft
        if mask is not None:  # no term depends on the logits when nothing counts, but backward() must still work
            total = total + 0 * logits.sum()
        return LossTerms(total, soft, hard, frames)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, hard_weight={self.hard_weight}"


def soft_cross_entropy(
    student_logits: Tensor, targets: Tensor | SoftTargets, temperature: float, mask: Tensor | None = None
) -> Tensor:
    """CE(targets, softmax(student_logits / temperature)) of each frame: (...), without the factor T**2, 0 where masked.

    student_logits: (..., C); targets: probabilities (..., C) or SoftTargets; mask: bool (...), True where the frame
    counts. Raises ValueError when a shape does not fit or `temperature` is not above 0.
    """
    _check_temperature(temperature)
    logits = _upcast(student_logits)
    num_pdfs = logits.shape[-1]
    if mask is not None:
        _same_shape("mask", mask.shape, "logits", logits.shape[:-1])
        logits = torch.where(mask.unsqueeze(-1), logits, 0)
    log_q = (logits / temperature).log_softmax(-1)  # (..., C)
    if not isinstance(targets, SoftTargets):
        _same_shape("targets", targets.shape, "logits", logits.shape)
        probs = targets.to(logits.dtype)
        if mask is not None:
            probs = torch.where(mask.unsqueeze(-1), probs, 0)
        return -(probs * log_q).sum(-1)

    ids, probs, tail = targets
    k = ids.shape[-1]
    _same_shape("ids", ids.shape, "logits", (*logits.shape[:-1], k))
    _same_shape("probs", probs.shape, "ids", ids.shape)
    _same_shape("tail", tail.shape, "logits", logits.shape[:-1])
    if k > num_pdfs:
        raise ValueError(f"expected at most the logits' {num_pdfs} pdfs a frame, found {k} ids")
    probs, tail, ids = probs.to(logits.dtype), tail.to(logits.dtype), ids.long()
    if mask is not None:
        probs, ids = (torch.where(mask.unsqueeze(-1), tensor, 0) for tensor in (probs, ids))
        tail = torch.where(mask, tail, 0)
    chosen = log_q.gather(-1, ids)  # (..., k)
    if k == num_pdfs:
        return -(probs * chosen).sum(-1)
    share = tail / (num_pdfs - k)  # of each pdf that is not named
    return -((probs - share.unsqueeze(-1)) * chosen).sum(-1) - share * log_q.sum(-1)


def _hard_cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
    """(...), 0 where masked. `logits` are free of NaN already."""
    _same_shape("labels", labels.shape, "logits", logits.shape[:-1])
    labels = labels.long()
    if mask is not None:
        labels = torch.where(mask, labels, 0)
    chosen = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return _masked(-chosen, mask)


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else torch.where(mask, values, 0)


def _upcast(logits: Tensor) -> Tensor:
    if not logits.is_floating_point() or logits.ndim == 0:
        raise ValueError(f"expected logits (..., C) of floats, found {logits.dtype} of shape {tuple(logits.shape)}")
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"expected a temperature above 0, found {temperature}")


def _same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        raise ValueError(f"expected {name} of shape {tuple(expected)} to fit the {other}, found {tuple(shape)}")
