"""What the loss takes the pdfs for that a frame of soft targets does not name."""

import math

import pytest
import torch
from torch import Tensor

from asrkd import DistillationLoss, soft_cross_entropy
from tests.distill.loss_examples import C, logits, top_k


@pytest.mark.parametrize("k", [1, 3, C - 1, C])
@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
def test_tails_written_out(tail: str, k: int) -> None:
    z, p = logits(8), logits(8, seed=1).softmax(-1)
    given = logits(1, seed=2).softmax(-1)[0]
    targets = top_k(p, k)
    found = soft_cross_entropy(z, targets, 2.0, tail=given if tail == "given" else tail)
    for row in range(8):
        log_q = [float(x) for x in (z[row] / 2).log_softmax(-1)]
        ids, probs = targets.ids[row].tolist(), targets.probs[row].tolist()
        others = [c for c in range(C) if c not in ids]
        rest = 1 - sum(probs)
        expected = -sum(q * log_q[c] for c, q in zip(ids, probs, strict=True))
        if tail == "drop":
            expected /= sum(probs)
        elif others and tail == "lump":
            expected -= rest * math.log(sum(math.exp(log_q[c]) for c in others))
        elif others:
            weights = [float(given[c]) if tail == "given" else 1.0 for c in others]
            expected -= sum(rest * w / sum(weights) * log_q[c] for w, c in zip(weights, others, strict=True))
        assert found[row].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
def test_gradients_of_the_tails_against_finite_differences(tail: str) -> None:
    z, targets = logits(2, 3).requires_grad_(), top_k(logits(2, 3, seed=1).softmax(-1), 3)
    loss = DistillationLoss(3.0, 0.0, tail=torch.arange(1.0, C + 1).double() if tail == "given" else tail)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), z)


def test_a_given_tail_without_mass_outside_the_named_pdfs_stays_finite() -> None:
    z = logits(5).float().requires_grad_()
    targets = top_k(logits(5, seed=1).softmax(-1).float(), 2)
    given = torch.zeros(C).scatter(0, targets.ids[0], 0.5)  # of the first frame: all that is named, and nothing else
    found = soft_cross_entropy(z, targets, 2.0, tail=given)
    found.sum().backward()
    named = -(targets.probs[0] * (z[0] / 2).log_softmax(-1)[targets.ids[0]]).sum()
    torch.testing.assert_close(found[0], named, atol=1e-3, rtol=0)
    assert z.grad is not None and z.grad.abs().max() < 1


@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
def test_second_derivatives_against_finite_differences(tail: str) -> None:
    z, targets = logits(2).requires_grad_(), top_k(logits(2, seed=1).softmax(-1), 3)
    loss = DistillationLoss(3.0, 0.0, tail=torch.arange(1.0, C + 1).double() if tail == "given" else tail)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, targets), z)


@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
@pytest.mark.parametrize("gap", [90.0, 300.0, 5000.0])
def test_far_logits_in_float32_against_float64(tail: str, gap: float) -> None:
    # softmax(z / T) of the named or of the others is below the least float32, and for 5000 below that of float64 too.
    z, targets = (64 * logits(6)).round() / 64, top_k(logits(6, seed=1).softmax(-1), 2)  # z: the same in float32
    named = torch.zeros(6, C).double().scatter(-1, targets.ids, 2 * gap)
    given = torch.arange(1.0, C + 1) if tail == "given" else tail
    shares = given.double() if isinstance(given, Tensor) else torch.ones(C).double()
    shares = torch.where(named > 0, 0, shares)  # (6, C), of the others
    for far in ((z + named).requires_grad_(), (z - named).requires_grad_()):
        probs, log_q = targets.probs, (far / 2).log_softmax(-1)
        if tail == "drop":
            probs = probs / probs.sum(-1, keepdim=True)
        expected = -(probs * log_q.gather(-1, targets.ids)).sum(-1)
        if tail == "lump":
            expected = expected - targets.tail * log_q.masked_fill(named > 0, -torch.inf).logsumexp(-1)
        elif tail != "drop":
            expected = expected - targets.tail * (shares / shares.sum(-1, keepdim=True) * log_q).sum(-1)
        (wanted,) = torch.autograd.grad(expected.sum(), far)
        short = far.detach().float().requires_grad_()
        found = soft_cross_entropy(short, targets, 2.0, tail=given)
        torch.testing.assert_close(found, expected.float())
        for create_graph in (True, False):  # two ways to the gradient
            (gradient,) = torch.autograd.grad(found.sum(), short, create_graph=create_graph)
            torch.testing.assert_close(gradient, wanted.float(), atol=1e-5, rtol=1e-4)
