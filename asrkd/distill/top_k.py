"""The cross-entropy towards soft targets that name k pdfs of a frame.

For a frame's logits z and q = softmax(z / T), with p the named pdfs' probabilities and `rest` the mass of the others,

    loss = -sum over the named of p[c] log q[c]
           -sum over the others of unit * weight[c] log q[c]        tail "even" (weight 1) or given
           -lumped * log(sum over the others of q[c])               tail "lump"

where unit * (the others' weights together) is `rest`, or `lumped` is. The tail "drop" scales p instead.
"""

from typing import Any

import torch
from torch import Tensor

from asrkd.distill.targets import SoftTargets, Tail

LEAST = 1e-4  # of a given tail's weight that must lie outside the named pdfs; less would be rounding


def top_k_cross_entropy(logits: Tensor, targets: SoftTargets, temperature: float, tail: Tail) -> Tensor:
    """CE(targets, softmax(logits / temperature)): (...). logits: (..., C); the arguments are checked already, but for
    the length of a given tail: raises ValueError when it is not C."""
    ids, probs, rest = targets
    num_pdfs, k = logits.shape[-1], ids.shape[-1]
    tiny = torch.finfo(logits.dtype).tiny
    unit = lumped = torch.zeros_like(rest)  # (...)
    weight, of_named = logits.new_ones(1), torch.ones_like(probs)  # (1,) for all or (C,), and the named pdfs' (..., k)
    if isinstance(tail, Tensor):
        if len(tail) != num_pdfs:
            raise ValueError(f"expected a tail of {num_pdfs} pdfs to fit the logits, found {len(tail)}")
        weight = tail.to(logits.dtype)
        of_named = weight[ids]
    if k == num_pdfs:
        pass  # there are no others
    elif isinstance(tail, Tensor):
        unit = rest / torch.maximum(_of_others(weight, of_named, num_pdfs), LEAST * weight.sum()).clamp(min=tiny)
    elif tail == "even":
        unit = rest / (num_pdfs - k)
    elif tail == "lump":
        lumped = rest
    else:
        probs = probs / probs.sum(-1, keepdim=True).clamp(min=tiny)
    loss, *_ = _CrossEntropy.apply(logits, ids, probs, lumped, unit, weight, of_named, temperature)
    return loss


class _CrossEntropy(torch.autograd.Function):
    """By hand, since autograd would fill three tensors of the logits' size on the way back where one is needed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        logits: Tensor,
        ids: Tensor,
        probs: Tensor,
        lumped: Tensor,
        unit: Tensor,
        weight: Tensor,
        of_named: Tensor,
        temperature: float,
    ) -> tuple[Tensor, ...]:
        # In place, here and below: at 14,000 pdfs fresh memory costs more than the arithmetic. The named pdfs are set
        # aside with scatter_reduce_, since vmap knows no scatter_: least of x and -inf, most of -inf and 0, and so on.
        # The others are taken relative to their own maximum: below the frame's they may all underflow.
        finfo, nothing = torch.finfo(logits.dtype), torch.zeros_like(probs)
        scaled = logits / temperature  # (..., C)
        named = scaled.gather(-1, ids)  # (..., k)
        scaled.scatter_reduce_(-1, ids, nothing - torch.inf, "amin")
        top = scaled.amax(-1, keepdim=True).clamp(min=finfo.min)  # (..., 1), of the others, of which there may be none
        scaled.sub_(top).scatter_reduce_(-1, ids, nothing, "amax")
        # Pdfs of weight 0 count 0, also at a logit of -inf.
        weighted = (scaled if len(weight) == 1 else torch.where(weight == 0, 0, scaled).mul_(weight)).sum(-1)
        other_exps = scaled.exp_().scatter_reduce_(-1, ids, nothing, "amin")  # (..., C), 0 for the named
        sum_others = other_exps.sum(-1, keepdim=True)  # (..., 1)

        highest = torch.maximum(top, named.amax(-1, keepdim=True))  # (..., 1); from here on logits are relative to it
        named, top = named - highest, top - highest
        log_others = top + sum_others.log()
        log_norm = torch.logaddexp(named.logsumexp(-1, keepdim=True), log_others)
        others = _of_others(weight, of_named, logits.shape[-1])  # (...)
        loss = -_counted(probs, named - log_norm).sum(-1) - _counted(lumped, (log_others - log_norm).squeeze(-1))
        loss = loss - _counted(unit, weighted - others * (log_norm - top).squeeze(-1))
        return loss, other_exps, (named - log_norm).exp(), sum_others.clamp(min=finfo.tiny), (top - log_norm).exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.temperature = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros for `other_exps` would be one more tensor of its size
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 8
        logits, ids, probs, lumped, unit, weight, of_named, other_exps, named_q, sum_others, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, and what forward() kept has none
            scaled = logits / ctx.temperature
            others_alone = scaled.scatter(-1, ids, torch.finfo(logits.dtype).min)
            named_q, other_exps = scaled.softmax(-1).gather(-1, ids), others_alone.softmax(-1)
            scale = (others_alone.logsumexp(-1, keepdim=True) - scaled.logsumexp(-1, keepdim=True)).exp()
            sum_others = torch.ones_like(scale)
        grad = (grads[0] / ctx.temperature).unsqueeze(-1)  # (..., 1)
        lumped, unit = lumped.unsqueeze(-1), unit.unsqueeze(-1)
        others = _of_others(weight, of_named, logits.shape[-1]).unsqueeze(-1)
        mass = probs.sum(-1, keepdim=True) + lumped + unit * others  # (..., 1), of all targets: 1, but for rounding
        # (..., C), also for the named pdfs, where other_exps is 0 and -unit * weight is taken back below
        whole = torch.addcmul(-grad * unit * weight, other_exps, grad * (mass * scale - lumped / sum_others))
        named = grad * (mass * named_q - probs + unit * of_named)  # (..., k)
        return whole.scatter_add_(-1, ids, named), *(None,) * 7


def _counted(mass: Tensor, log_q: Tensor) -> Tensor:
    """mass * log_q, and 0 where the mass is, also at a log_q of -inf."""
    return torch.where(mass == 0, 0, mass * log_q)


def _of_others(weight: Tensor, of_named: Tensor, num_pdfs: int) -> Tensor:
    """(...), the weight of the pdfs that are not named, together."""
    whole = weight.sum() if len(weight) > 1 else num_pdfs
    return whole - of_named.sum(-1)
