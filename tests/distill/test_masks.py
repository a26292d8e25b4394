"""Frames that do not count, and classes that are masked by a logit of -inf."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asrkd import DistillationLoss, SoftTargets, soft_cross_entropy
from tests.distill.loss_examples import C, logits, top_k


@pytest.mark.parametrize("k", [None, 3])
def test_masked_frames_give_nothing(k: int | None) -> None:
    z, p, labels = logits(6), logits(6, seed=1).softmax(-1), torch.arange(6)
    mask = torch.tensor([True, False, True, True, False, True])
    loss = DistillationLoss(2.0, 0.5)

    def of(z: Tensor, p: Tensor) -> Tensor | SoftTargets:
        return p if k is None else top_k(p, k)

    expected = loss.terms(z[mask], of(z, p[mask]), labels[mask])
    broken_z, broken_p, broken_labels = z.clone(), p.clone(), labels.clone()
    targets = of(z, p)
    broken_z[~mask] = torch.nan
    broken_labels[~mask] = 65535
    if isinstance(targets, SoftTargets):
        targets.probs[~mask], targets.tail[~mask] = torch.nan, torch.nan
        targets.ids[~mask] = 10**6
    else:
        broken_p[~mask] = torch.nan
        targets = broken_p
    broken_z.requires_grad_()
    found = loss.terms(broken_z, targets, broken_labels, mask)
    torch.testing.assert_close(tuple(found), tuple(expected))
    found.total.backward()
    assert broken_z.grad is not None and broken_z.grad[~mask].eq(0).all() and broken_z.grad[mask].ne(0).any(1).all()


@pytest.mark.parametrize("tail", ["dense", "even", "given", "drop", "lump"])
def test_all_masked_gives_zero_with_a_zero_gradient(tail: str) -> None:
    z = torch.full((2, 3, C), torch.nan, requires_grad=True)
    broken = torch.full((2, 3, C), torch.nan)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    loss = DistillationLoss(2.0, 0.5, torch.ones(C) if tail == "given" else tail.replace("dense", "even"))
    targets = broken if tail == "dense" else SoftTargets(torch.full((2, 3, 2), 99), broken[..., :2], broken[..., 0])
    terms = loss.terms(z, targets, torch.zeros(2, 3).long(), nothing)
    terms.total.backward()
    assert terms.total == 0 and terms.frames == 0
    assert z.grad is not None and z.grad.eq(0).all()


@pytest.mark.parametrize("tail", ["dense", "even", "given", "drop", "lump"])
def test_a_masked_class_that_the_teacher_gives_nothing_counts_nothing(tail: str) -> None:
    # Classes 0 and C have logits of -inf, and the problem of the C - 1 classes between them is the one to agree with.
    # The soft targets name class C (float16 rounds small probabilities to 0) and leave 0, which they give nothing.
    z, p = logits(6), logits(6, seed=1).softmax(-1)
    inner = z[:, 1:].clone().requires_grad_()
    outer = F.pad(z[:, 1:], (1, 1), value=-torch.inf).requires_grad_()
    kept, shares = p[:, 1:] / p[:, 1:].sum(-1, keepdim=True), torch.arange(1.0, C).double()
    labels = torch.arange(6) % (C - 1)
    small: Tensor | SoftTargets
    large: Tensor | SoftTargets
    if tail == "dense":
        small, large = kept, F.pad(kept, (1, 1))
    else:
        # "even" gives mass to every class that is not named: here all that are not masked are.
        k = C - 1 if tail == "even" else 3
        small = top_k(kept, k)
        small = small._replace(tail=torch.zeros(6).double()) if tail == "even" else small
        nothing = small.ids.new_full((6, 1), C)
        large = SoftTargets(torch.cat([small.ids + 1, nothing], 1), F.pad(small.probs, (0, 1)), small.tail)
    kind = tail.replace("dense", "even")
    for of_labels in (0.0, 0.4):
        expected = DistillationLoss(2.0, of_labels, shares if tail == "given" else kind)(inner, small, labels)
        given = F.pad(shares, (1, 1)) if tail == "given" else kind
        found = DistillationLoss(2.0, of_labels, given)(outer, large, labels + 1)
        torch.testing.assert_close(found, expected)
        (gradient,), (wanted,) = torch.autograd.grad(found, outer), torch.autograd.grad(expected, inner)
        torch.testing.assert_close(gradient, F.pad(wanted, (1, 1)))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_class_masked_by_the_lowest_number_counts_nothing(temperature: float) -> None:
    """Divided by a temperature below 1, that is -inf."""
    z = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    p = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).softmax(-1)
    found = soft_cross_entropy(F.pad(z, (1, 0), value=torch.finfo(z.dtype).min), F.pad(p, (1, 0)), temperature)
    torch.testing.assert_close(found, soft_cross_entropy(z, p, temperature))


@pytest.mark.parametrize("tail", ["dense", "even", "given", "drop", "lump"])
def test_a_masked_class_that_the_teacher_gives_something_costs_infinitely_much(tail: str) -> None:
    z, p = logits(6), logits(6, seed=1).softmax(-1)
    targets = top_k(p, 2)
    unnamed = p.argmin(-1, keepdim=True)
    for where in [targets.ids[:, :1]] + [unnamed] * (tail in ("dense", "even", "given")):
        masked = z.scatter(-1, where, -torch.inf)
        given = torch.ones(C) if tail == "given" else tail
        found = soft_cross_entropy(
            masked, p if tail == "dense" else targets, 2.0, tail="even" if tail == "dense" else given
        )
        assert found.eq(torch.inf).all()
    if tail == "lump":  # which asks for the mass of all that are not named, and there is none
        alone = torch.full_like(z, -torch.inf).scatter(-1, targets.ids, z.gather(-1, targets.ids))
        assert soft_cross_entropy(alone, targets, 2.0, tail="lump").eq(torch.inf).all()
