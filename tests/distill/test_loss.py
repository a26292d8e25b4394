"""The loss against closed forms, torch's own cross-entropy and finite differences."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asrkd import DistillationLoss, SoftTargets, ensemble_posteriors, soft_cross_entropy
from asrkd.distill.loss import NO_LABEL
from tests.distill.loss_examples import C, logits, top_k


def test_by_hand() -> None:
    # z = (ln 4, 0) at T = 2 is the distribution (2/3, 1/3); at T = 1 it is (4/5, 1/5).
    z = torch.tensor([[4.0, 1.0]]).log()
    terms = DistillationLoss(2.0, 0.25).terms(z, torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
    soft = -0.5 * torch.log(torch.tensor(2 / 9))
    hard = -torch.log(torch.tensor(0.8))
    torch.testing.assert_close(terms.soft, soft)
    torch.testing.assert_close(terms.hard, hard)
    torch.testing.assert_close(terms.total, 0.25 * hard + 0.75 * 4 * soft)
    assert terms.frames == 1


@pytest.mark.parametrize("hard_weight", [0.0, 0.3, 1.0])
def test_one_hot_targets_at_temperature_1_give_cross_entropy(hard_weight: float) -> None:
    z, labels = logits(20), torch.arange(20) % C
    found = DistillationLoss(1.0, hard_weight)(z, F.one_hot(labels, C).double(), labels)
    torch.testing.assert_close(found, F.cross_entropy(z, labels))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_dense_targets_against_kl_div(temperature: float) -> None:
    z, p = logits(20), logits(20, seed=1).softmax(-1)
    kl = F.kl_div((z / temperature).log_softmax(-1), p, reduction="batchmean")
    entropy = -(p * p.log()).sum(-1).mean()
    found = DistillationLoss(temperature, 0.0)(z, p)
    torch.testing.assert_close(found, temperature**2 * (kl + entropy))


def test_top_k_is_the_dense_loss_of_the_same_distribution() -> None:
    z, p = logits(4, 5), logits(4, 5, seed=1).softmax(-1)
    torch.testing.assert_close(soft_cross_entropy(z, top_k(p, C), 2.0), soft_cross_entropy(z, p, 2.0))
    for k in (1, 3, C - 1):
        targets = top_k(p, k)
        spread = (1 - targets.probs.sum(-1)) / (C - k)
        dense = spread.unsqueeze(-1).repeat(1, 1, C)
        for a, b in torch.cartesian_prod(torch.arange(4), torch.arange(5)).tolist():
            for i, q in zip(targets.ids[a, b].tolist(), targets.probs[a, b].tolist(), strict=True):
                dense[a, b, i] = q
        torch.testing.assert_close(targets.dense(C), dense)
        found = soft_cross_entropy(z, targets, 2.0, tail="even")
        torch.testing.assert_close(found, soft_cross_entropy(z, dense, 2.0))


def test_any_leading_shape() -> None:
    z, p, labels = logits(4, 5), logits(4, 5, seed=1).softmax(-1), torch.arange(20).view(4, 5) % C
    mask = torch.arange(20).view(4, 5) % 3 > 0
    loss = DistillationLoss(2.0, 0.5)
    expected = loss(z.flatten(0, 1), p.flatten(0, 1), labels.flatten(), mask.flatten())
    torch.testing.assert_close(loss(z, p, labels, mask), expected)
    transposed = [t.transpose(0, 1) for t in (z, p, labels, mask)]
    torch.testing.assert_close(loss(*transposed), expected)
    torch.testing.assert_close(
        loss(z.transpose(0, 1), SoftTargets(*(t.transpose(0, 1) for t in top_k(p, C))), labels.T, mask.T), expected
    )
    torch.testing.assert_close(loss(z[0, 0], p[0, 0], labels[0, 0]), loss(z[:1, 0], p[:1, 0], labels[:1, 0]))


def test_frames_without_a_label_have_the_soft_term_alone() -> None:
    z, p, labels = logits(6), logits(6, seed=1).softmax(-1), torch.arange(6)
    mixed = torch.where(torch.arange(6) < 2, NO_LABEL, labels)
    terms = DistillationLoss(2.0, 0.3).terms(z, p, mixed)
    soft = DistillationLoss(2.0, 0.0)(z[:2], p[:2])
    both = DistillationLoss(2.0, 0.3)(z[2:], p[2:], labels[2:])
    torch.testing.assert_close(terms.total, (2 * soft + 4 * both) / 6)
    torch.testing.assert_close(terms.hard, F.cross_entropy(z[2:], labels[2:]))
    torch.testing.assert_close(DistillationLoss(2.0, 1.0)(z, None, mixed), F.cross_entropy(z, mixed))


@pytest.mark.parametrize("k", [None, 3])
def test_gradients_against_finite_differences(k: int | None) -> None:
    z, p = logits(2, 3).requires_grad_(), logits(2, 3, seed=1).softmax(-1)
    labels, mask = torch.arange(6).view(2, 3), torch.tensor([[True, False, True], [True, True, False]])
    targets = p if k is None else top_k(p, k)
    assert torch.autograd.gradcheck(lambda x: DistillationLoss(3.0, 0.4)(x, targets, labels, mask), z)


def test_hot_limit_matches_logits() -> None:
    # Section 2.1 of the paper: T**2 times the gradient tends to (z - v) / C for logits of zero mean.
    z, v = logits(6), logits(6, seed=1)
    z, v = z - z.mean(-1, keepdim=True), v - v.mean(-1, keepdim=True)
    z.requires_grad_()
    temperature = 1e4
    DistillationLoss(temperature, 0.0)(z, (v / temperature).softmax(-1)).backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad * 6, (z.detach() - v) / C, atol=1e-3, rtol=0)  # the mean is over 6 frames


def test_gradient_towards_the_mean_is_the_mean_of_the_gradients() -> None:
    z, members = logits(6).requires_grad_(), logits(3, 6, seed=1)

    def gradient(targets: Tensor) -> Tensor:
        return torch.autograd.grad(DistillationLoss(2.0, 0.0)(z, targets), z)[0]

    mean = gradient(ensemble_posteriors(members, 2.0))
    torch.testing.assert_close(mean, sum(gradient((m / 2).softmax(-1)) for m in members) / 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z, p, labels = (20 * logits(50)).to(dtype), logits(50, seed=1).softmax(-1).float(), torch.arange(50) % C
    found = DistillationLoss(2.0, 0.5)(z, p, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, DistillationLoss(2.0, 0.5)(z.float(), p, labels))


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_ensemble_posteriors(mean: str) -> None:
    z = logits(3, 4, 5)
    p = (z / 2).softmax(-1)
    by_hand = p.mean(0) if mean == "arithmetic" else p.prod(0) ** (1 / 3)
    by_hand = by_hand / by_hand.sum(-1, keepdim=True)
    torch.testing.assert_close(ensemble_posteriors(z, 2.0, mean), by_hand)
    torch.testing.assert_close(ensemble_posteriors((member for member in z), 2.0, mean), by_hand)
    with pytest.raises(ValueError, match="none"):
        ensemble_posteriors([], 2.0)
    with pytest.raises(ValueError, match=r"\(2, 7\).*\(3, 7\)"):
        ensemble_posteriors([z[0, 0, :2], z[0, 0, :3]])
    with pytest.raises(ValueError, match="harmonic"):
        ensemble_posteriors(z, 2.0, "harmonic")


def test_mistakes_are_named() -> None:
    z, p, labels = logits(4, 5), logits(4, 5).softmax(-1), torch.zeros(4, 5).long()
    loss = DistillationLoss(2.0, 0.5)
    with pytest.raises(ValueError, match=r"targets.*\(4, 5, 7\).*\(4, 5, 6\)"):
        loss(z, p[..., :6], labels)
    with pytest.raises(ValueError, match=r"labels.*\(4, 5\).*\(5, 4\)"):
        loss(z, p, labels.T)
    with pytest.raises(ValueError, match=r"mask.*\(4, 5\).*\(4,\)"):
        loss(z, p, labels, torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"tail.*\(4, 5\).*\(4,\)"):
        loss(z, top_k(p, 3)._replace(tail=torch.zeros(4)), labels)
    with pytest.raises(ValueError, match="labels"):
        loss(z, p)
    with pytest.raises(ValueError, match="targets"):
        loss(z, None, labels)
    with pytest.raises(ValueError, match="int64"):
        loss(labels, p, labels)
    for mask in (torch.full((4, 5), 255, dtype=torch.uint8), torch.ones(4, 5)):
        with pytest.raises(ValueError, match=f"mask of torch.bool.*found {mask.dtype}"):
            loss(z, p, labels, mask)
    with pytest.raises(ValueError, match="labels of integers, found torch.float32"):
        loss(z, p, labels + 0.7)
    with pytest.raises(ValueError, match="ids of integers, found torch.float64"):
        loss(z, top_k(p, 3)._replace(ids=torch.ones(4, 5, 3).double()), labels)
    for broken in ([1.0] * C, torch.ones(1, C), None):
        with pytest.raises(ValueError, match="tail to be even, drop, lump or a tensor"):
            DistillationLoss(2.0, 0.5, tail=broken)  # type: ignore[arg-type]
    for shares in (torch.arange(C) - 1.0, torch.zeros(C), torch.full((C,), torch.nan), torch.full((C,), torch.inf)):
        with pytest.raises(ValueError, match="tail of shares of at least 0"):
            DistillationLoss(2.0, 0.5, tail=shares)
        with pytest.raises(ValueError, match="tail of shares of at least 0"):
            soft_cross_entropy(z, top_k(p, 3), 2.0, tail=shares)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            DistillationLoss(temperature)
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="hard_weight"):
            DistillationLoss(2.0, weight)
    with pytest.raises(ValueError, match="tail to be even, drop, lump or a tensor"):
        DistillationLoss(2.0, 0.5, tail="uniform")
    with pytest.raises(ValueError, match="tail of 7 pdfs to fit the logits, found 6"):
        DistillationLoss(2.0, 0.5, tail=torch.ones(6))(z, top_k(p, 3), labels)


def test_values_out_of_range_are_named() -> None:
    z, p, labels = logits(4), logits(4).softmax(-1), torch.arange(4)
    soft = top_k(p, 3)
    cheap, full = DistillationLoss(2.0, 0.5), DistillationLoss(2.0, 0.5, validate=True)
    with pytest.raises(ValueError, match=r"labels from 0 to 6, found 7"):
        cheap(z, p, labels + 4)
    with pytest.raises(ValueError, match=r"labels from 0 to 6, found -1"):
        cheap(z, p, labels - 1)
    with pytest.raises(ValueError, match=r"ids from 0 to 6, found 70"):
        cheap(z, soft._replace(ids=torch.full((4, 3), 70)), labels)
    with pytest.raises(ValueError, match=r"probs and tail .* found -0\.5 as the lowest"):
        cheap(z, soft._replace(tail=torch.full((4,), -0.5)), labels)
    with pytest.raises(ValueError, match=r"probs and tail .* as the sum"):
        cheap(z, soft._replace(probs=2 * soft.probs), labels)
    with pytest.raises(ValueError, match=r"no pdf twice in a frame, found ids \[2, 2, 2\]"):
        full(z, soft._replace(ids=torch.full((4, 3), 2)), labels)
    for loss in (cheap, full):
        with pytest.raises(ValueError, match=r"targets of at least 0 .* found nan"):
            loss(z, p * torch.nan, labels)
        with pytest.raises(ValueError, match=r"targets of at least 0 .* 2\.0 as the sum"):
            loss(z, 2 * p, labels)
        with pytest.raises(ValueError, match=r"targets of at least 0"):  # the teacher's logits for its probabilities
            loss(z, logits(4, seed=1), labels)
    torch.testing.assert_close(full(z, p, labels), cheap(z, p, labels))
    # What is masked is not looked at.
    mask = torch.tensor([True, True, False, False])
    broken = SoftTargets(soft.ids.clone(), soft.probs.clone(), soft.tail.clone())
    broken.ids[2:], broken.probs[2:] = 99, torch.nan
    torch.testing.assert_close(full(z, broken, labels + 4 * ~mask, mask), full(z[:2], top_k(p[:2], 3), labels[:2]))


@pytest.mark.parametrize("k", [None, 3])
def test_an_offset_of_the_logits_changes_nothing(k: int | None) -> None:
    z, p = logits(20).float(), logits(20, seed=1).softmax(-1).float()
    targets = p if k is None else top_k(p, k)
    z = (z * 64).round() / 64  # exact also with the offset
    torch.testing.assert_close(soft_cross_entropy(z + 8192, targets, 2.0), soft_cross_entropy(z, targets, 2.0))


@pytest.mark.parametrize("tail", ["dense", "even", "given", "drop", "lump"])
def test_no_value_is_waited_for(tail: str) -> None:
    # A tensor of the meta device has no values: to look at one raises.
    z, probs = torch.empty(4, 5, C, device="meta", requires_grad=True), torch.empty(4, 5, C, device="meta")
    named = SoftTargets(probs[..., :3].long(), probs[..., :3], probs[..., 0])
    loss = DistillationLoss(2.0, 0.5, torch.ones(C) if tail == "given" else tail.replace("dense", "even")).to("meta")
    loss(z, probs if tail == "dense" else named, probs[..., 0].long(), probs[..., 0].bool()).backward()
    assert z.grad is not None and z.grad.shape == z.shape


def test_dense_targets_have_their_gradient_where_they_are_0() -> None:
    z = torch.tensor([[1.0, 2.0, -torch.inf]])
    p = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    soft_cross_entropy(z, p, 1.0).sum().backward()
    log_norm = math.log(math.e + math.e**2)
    assert p.grad is not None
    torch.testing.assert_close(p.grad, torch.tensor([[log_norm - 1, log_norm - 2, 0.0]]))
