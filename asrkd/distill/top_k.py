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
        # In place, here and below: at 14,000 pdfs fresh memory costs more than the arithmetic.
        scaled = logits / temperature  # (..., C)
        scaled.sub_(scaled.amax(-1, keepdim=True))
        named = scaled.gather(-1, ids)  # (..., k)
        weighted = scaled.sum(-1) if len(weight) == 1 else (scaled * weight).sum(-1)  # (...)
        weighted = weighted - (of_named * named).sum(-1)  # over the others
        exps = scaled.exp_()
        named_exps = exps.gather(-1, ids)  # (..., k)
        other_exps = exps.scatter_add_(-1, ids, -named_exps)  # (..., C), 0 for the named; vmap knows no scatter_
        sum_others = other_exps.sum(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)  # (..., 1)
        norm = named_exps.sum(-1, keepdim=True) + sum_others
        log_norm = norm.log()
        others = _of_others(weight, of_named, logits.shape[-1])  # (...)
        loss = -(probs * (named - log_norm)).sum(-1) - unit * (weighted - others * log_norm.squeeze(-1))
        loss = loss - lumped * (sum_others / norm).log().squeeze(-1)
        return loss, other_exps, named_exps / norm, sum_others, norm

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
        logits, ids, probs, lumped, unit, weight, of_named, other_exps, named_q, sum_others, norm = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, and what forward() kept has none
            q = (logits / ctx.temperature).softmax(-1)
            named_q = q.gather(-1, ids)
            other_exps = q.scatter_add(-1, ids, -named_q)
            sum_others, norm = other_exps.sum(-1, keepdim=True), torch.ones_like(norm)
        grad = (grads[0] / ctx.temperature).unsqueeze(-1)  # (..., 1)
        lumped, unit = lumped.unsqueeze(-1), unit.unsqueeze(-1)
        others = _of_others(weight, of_named, logits.shape[-1]).unsqueeze(-1)
        mass = probs.sum(-1, keepdim=True) + lumped + unit * others  # (..., 1), of all targets: 1, but for rounding
        # (..., C), also for the named pdfs, where other_exps is 0 and -unit * weight is taken back below
        whole = torch.addcmul(-grad * unit * weight, other_exps, grad * (mass / norm - lumped / sum_others))
        named = grad * (mass * named_q - probs + unit * of_named)  # (..., k)
        return whole.scatter_add_(-1, ids, named), *(None,) * 7


def _of_others(weight: Tensor, of_named: Tensor, num_pdfs: int) -> Tensor:
    """(...), the weight of the pdfs that are not named, together."""
    whole = weight.sum() if len(weight) > 1 else num_pdfs
    return whole - of_named.sum(-1)
