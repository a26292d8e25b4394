"""The distillation loss on frames.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2: for the student's logits
z, the hard label y and the teacher's distribution p at temperature T,

    hard_weight * CE(y, softmax(z)) + (1 - hard_weight) * T**2 * CE(p, softmax(z / T)),

each a mean over the frames that count. The gradient of CE(p, softmax(z / T)) shrinks as 1 / T**2; the factor T**2
keeps the balance between both terms when T is changed.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from asrkd.distill.checks import (
    check_dense,
    check_ids,
    check_integers,
    check_labels,
    check_mask,
    check_same_shape,
    check_tail,
    check_tail_values,
    check_temperature,
    check_top_k,
    may_be_masked,
    upcast,
)
from asrkd.distill.targets import SoftTargets, Tail
from asrkd.distill.top_k import top_k_cross_entropy

NO_LABEL = -100  # of a frame without a transcript; torch's own cross-entropy ignores the same number


class LossTerms(NamedTuple):
    """Scalars, on the device of the logits. A term of weight 0 is not computed and is 0.

    When every frame that counts has a label, total = hard_weight * hard + (1 - hard_weight) * T**2 * soft.
    """

    total: Tensor
    soft: Tensor  # CE(p, softmax(z / T)), without the factor T**2: the mean over the frames that count
    hard: Tensor  # CE(y, softmax(z)): the mean over those of them that have a label
    frames: Tensor  # how many counted


class DistillationLoss(nn.Module):
    """The weighted sum of the hard and the soft cross-entropy, for logits of any leading shape.

    tail: what SoftTargets leave open, see `soft_cross_entropy`.
    validate: check every value on every call, also where that waits for a GPU. Without it shapes and types are checked,
    and on a CPU what is cheap: the range of labels and ids, and that targets are distributions.
    Raises ValueError when `temperature` is not above 0, `hard_weight` is outside [0, 1] or `tail` is none of the four.
    """

    tail_shape: Tensor | None

    def __init__(
        self, temperature: float = 2.0, hard_weight: float = 0.5, tail: Tail = "even", validate: bool = False
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        if not 0 <= hard_weight <= 1:
            raise ValueError(f"expected a hard_weight from 0 to 1, found {hard_weight}")
        check_tail(tail)
        self.temperature = temperature
        self.hard_weight = hard_weight
        if isinstance(tail, Tensor):
            check_tail_values(tail, validate=True)
        self.tail = tail if isinstance(tail, str) else "given"
        self.register_buffer("tail_shape", None if isinstance(tail, str) else tail, persistent=False)
        self.validate = validate

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
        labels: integers (...); None only when hard_weight is 0. A frame of NO_LABEL has the soft term alone, with
        weight 1; where hard_weight is 1 it does not count.
        mask: bool (...), True where the frame counts. What stands in other frames, NaN too, has no influence.

        Raises ValueError when a shape does not fit the logits', a type or a value is not such, or something needed is
        None.
        """
        logits = upcast(student_logits)
        shape = logits.shape[:-1]
        if mask is not None:
            check_mask(mask, shape)
            logits = torch.where(mask.unsqueeze(-1), logits, 0)
        counted = torch.ones(shape, dtype=torch.bool, device=logits.device) if mask is None else mask
        hard = soft = logits.new_zeros(shape)
        labelled = torch.zeros_like(counted)
        if self.hard_weight > 0:
            if labels is None:
                raise ValueError(f"expected labels, found None; only hard_weight=0 needs none, not {self.hard_weight}")
            check_same_shape("labels", labels.shape, "logits", shape)
            check_integers("labels", labels)
            labels = labels.long()
            labelled = counted & (labels != NO_LABEL)
            labels = torch.where(labelled, labels, 0)
            check_labels(labels, logits.shape[-1], self.validate)
            chosen = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # (...)
            hard = torch.where(labelled, -chosen, 0)
        if self.hard_weight < 1:
            if targets is None:
                raise ValueError(f"expected targets, found None; only hard_weight=1 needs none, not {self.hard_weight}")
            tail = self.tail if self.tail_shape is None else self.tail_shape
            soft = soft_cross_entropy(logits, targets, self.temperature, mask, tail, self.validate)
        else:
            counted = labelled
        frames, labels_counted = counted.sum(), labelled.sum()
        weight = self.hard_weight * labelled  # (...)
        total = (weight * hard + (1 - weight) * self.temperature**2 * soft).sum() / frames.clamp(min=1)
        return LossTerms(total, soft.sum() / frames.clamp(min=1), hard.sum() / labels_counted.clamp(min=1), frames)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, hard_weight={self.hard_weight}, tail={self.tail}"


def soft_cross_entropy(
    student_logits: Tensor,
    targets: Tensor | SoftTargets,
    temperature: float,
    mask: Tensor | None = None,
    tail: Tail = "even",
    validate: bool = False,
) -> Tensor:
    """CE(targets, softmax(student_logits / temperature)) of each frame: (...), without the factor T**2, 0 where masked.

    student_logits: (..., C); targets: probabilities (..., C) or SoftTargets; mask: bool (...), True where the frame
    counts. The gradient goes to the student, and to dense targets that ask for one. A class of probability 0 counts 0,
    also at a logit of -inf (a masked class); at a probability above 0 such a logit makes the loss +inf. A store gives a
    masked class one above 0 in its dense form, and an even tail does: "lump", "drop" or a tensor with a 0 there do not.
    tail: how the mass of the pdfs that SoftTargets do not name is taken. "lump": they are one class, for the student
    too, which is free to share it out; "even": each of them has the same share; a tensor (C,): shares in proportion
    to it, for example to the mean of the teacher's distributions; "drop": none has any, and the named ones are scaled
    to sum to 1. docs/soft-targets.md has the measurements that chose the default.
    Raises ValueError when a shape does not fit, a value is out of range or `temperature` is not above 0.
    """
    check_temperature(temperature)
    check_tail(tail)
    logits = upcast(student_logits)
    if mask is not None:
        check_mask(mask, logits.shape[:-1])
        logits = torch.where(mask.unsqueeze(-1), logits, 0)
    if isinstance(targets, SoftTargets):
        check_top_k(targets.ids.shape, targets.probs.shape, targets.tail.shape, logits.shape)
        check_integers("ids", targets.ids)
        if isinstance(tail, Tensor):
            check_tail_values(tail, validate)
        ids, probs, rest = targets.ids.long(), targets.probs.to(logits.dtype), targets.tail.to(logits.dtype)
        if mask is not None:
            probs, ids = (torch.where(mask.unsqueeze(-1), tensor, 0) for tensor in (probs, ids))
            rest = torch.where(mask, rest, 0)
        check_ids(ids, probs, rest, logits.shape[-1], mask, validate)
        return top_k_cross_entropy(logits, SoftTargets(ids, probs, rest), temperature, tail)
    check_same_shape("targets", targets.shape, "logits", logits.shape)
    probs = targets.to(logits.dtype)
    if mask is not None:
        probs = torch.where(mask.unsqueeze(-1), probs, 0)
    check_dense(probs, mask, validate)
    scaled = logits / temperature
    log_q = scaled.log_softmax(-1)  # (..., C)
    if may_be_masked(scaled):  # two more passes over all classes, which most calls do not need
        empty = probs == 0
        if probs.requires_grad:  # theirs is -log q, but for the classes that both give nothing
            empty = empty & (log_q == -torch.inf)
        log_q = torch.where(empty, 0, log_q)
    return -(probs * log_q).sum(-1)
