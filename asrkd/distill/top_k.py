"""The cross-entropy towards soft targets that name k pdfs of a frame."""

from typing import Any

import torch
from torch import Tensor

from asrkd.distill.targets import SoftTargets, Tail

LEAST = 1e-4  # of a given tail's mass that must lie outside the named pdfs; less would be rounding


def top_k_cross_entropy(logits: Tensor, targets: SoftTargets, temperature: float, tail: Tail) -> Tensor:
    """CE(targets, softmax(logits / temperature)): (...). logits: (..., C); the arguments are checked already, but for
    the length of a given tail: raises ValueError when it is not C."""
    ids, probs, rest = targets
    num_pdfs, k = logits.shape[-1], ids.shape[-1]
    tiny = torch.finfo(logits.dtype).tiny
    lump = isinstance(tail, str) and tail == "lump"
    shape, own = logits.new_ones(1), torch.ones_like(probs)  # of the tail: (1,) or (C,), and on the named pdfs (..., k)
    left = torch.full_like(rest, num_pdfs - k)  # (...), the shape's mass outside the named pdfs
    if isinstance(tail, Tensor):
        if len(tail) != num_pdfs:
            raise ValueError(f"expected a tail of {num_pdfs} pdfs to fit the logits, found {len(tail)}")
        shape = tail.to(logits.dtype)
        own = shape[ids]
        left = torch.maximum(shape.sum() - own.sum(-1), LEAST * shape.sum())
    if k == num_pdfs:
        rest = torch.zeros_like(rest)
    elif isinstance(tail, str) and tail == "drop":
        probs, rest = probs / probs.sum(-1, keepdim=True).clamp(min=tiny), torch.zeros_like(rest)
    share = torch.zeros_like(rest) if lump else rest / left.clamp(min=tiny)  # (...), of a pdf of shape 1
    lumped = rest if lump else torch.zeros_like(rest)
    loss, *_ = _CrossEntropy.apply(logits, ids, probs, lumped, share, shape, own, temperature)
    return loss


class _CrossEntropy(torch.autograd.Function):
    """-sum of targets * log softmax(logits / T), where the targets are `probs` for the named pdfs, share * shape for
    each of the others, and `lumped` for these together.

    By hand, since autograd would fill three tensors of the logits' size on the way back where one is needed.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        logits: Tensor,
        ids: Tensor,
        probs: Tensor,
        lumped: Tensor,
        share: Tensor,
        shape: Tensor,
        own: Tensor,
        temperature: float,
    ) -> tuple[Tensor, ...]:
        scaled = logits / temperature  # (..., C)
        named = scaled.gather(-1, ids)  # (..., k)
        total = scaled.sum(-1) if len(shape) == 1 else (scaled * shape).sum(-1)  # (...)
        total, weight = total - (own * named).sum(-1), _others(shape, own, logits.shape[-1])
        highest = scaled.amax(-1, keepdim=True)  # (..., 1)
        # In place: at 14,000 pdfs fresh memory costs more than the arithmetic.
        exps = scaled.sub_(highest).exp_()
        of_named = exps.gather(-1, ids)  # (..., k)
        others = exps.scatter_add_(-1, ids, -of_named)  # (..., C), exactly 0 for the named; vmap knows no scatter_
        sum_others = others.sum(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)  # (..., 1)
        norm = of_named.sum(-1, keepdim=True) + sum_others
        log_sum = highest + norm.log()  # (..., 1), of exp(logits / T)
        loss = -(probs * (named - log_sum)).sum(-1) - share * (total - weight * log_sum.squeeze(-1))
        loss = loss - lumped * (sum_others / norm).log().squeeze(-1)
        return loss, others, of_named / norm, sum_others, norm

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.temperature = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros for `others` would be one more tensor of its size
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 8
        logits, ids, probs, lumped, share, shape, own, others, q_named, sum_others, norm = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            q = (logits / ctx.temperature).softmax(-1)
            q_named = q.gather(-1, ids)
            others = q.scatter_add(-1, ids, -q_named)
            sum_others, norm = others.sum(-1, keepdim=True), torch.ones_like(norm)
        grad = (grads[0] / ctx.temperature).unsqueeze(-1)  # (..., 1)
        lumped, share = lumped.unsqueeze(-1), share.unsqueeze(-1)
        weight = _others(shape, own, logits.shape[-1]).unsqueeze(-1)
        mass = probs.sum(-1, keepdim=True) + lumped + share * weight  # (..., 1), of all targets: 1, but for rounding
        of_others = torch.addcmul(-grad * share * shape, others, grad * (mass / norm - lumped / sum_others))  # (..., C)
        of_named = grad * (mass * q_named - probs + share * own)  # (..., k), what `of_others` has there taken back
        return of_others.scatter_add_(-1, ids, of_named), *(None,) * 7


def _others(shape: Tensor, own: Tensor, num_pdfs: int) -> Tensor:
    """(...), the shape's mass outside the named pdfs."""
    whole = shape.sum() if len(shape) > 1 else num_pdfs
    return whole - own.sum(-1)
