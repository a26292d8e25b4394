"""The correction against counts, the combination against closed forms, scipy's minimiser and autograd."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from asrkd.specialists.combine import GAP, STEPS, Combined, Specialist, dustbin_correction, gradient
from asrkd.specialists.combine import combine as combine_with_gap


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def specialist(pdfs: list[int], frames: int, seed: int, scale: float = 2.0) -> Specialist:
    return Specialist(torch.tensor(pdfs), logits(frames, len(pdfs) + 1, seed=seed, scale=scale))


def combine(generalist: Tensor, specialists: list[Specialist]) -> Tensor:
    return combine_with_gap(generalist, specialists).posteriors


def of_specialist(probs: Tensor, pdfs: Tensor) -> Tensor:
    """Probabilities (..., C) as those of the pdfs and the dustbin, (..., S + 1)."""
    others = torch.tensor([c for c in range(probs.shape[-1]) if c not in pdfs.tolist()])
    return torch.cat([probs[..., pdfs], probs[..., others].sum(-1, keepdim=True)], -1)


def equation_5(q: Tensor, generalist: Tensor, specialists: list[Specialist]) -> Tensor:
    """As the paper has it, for one frame: q (C,), the generalist's logits (C,), those of the specialists (1, S + 1)."""
    p = generalist.softmax(-1)
    total = (p * (p / q).log()).sum()
    for one in specialists:
        if generalist.argmax() in one.pdfs:
            p_m = one.logits[0].softmax(-1)
            total = total + (p_m * (p_m / of_specialist(q, one.pdfs)).log()).sum()
    return total


def brute_force(generalist: Tensor, specialists: list[Specialist]) -> Tensor:
    """The minimiser (C,) by scipy's trust-region Newton method on logits, with autograd's derivatives."""

    def objective(z: Tensor) -> Tensor:
        return equation_5(z.softmax(-1), generalist, specialists)

    def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(x).requires_grad_()
        value = objective(z)
        (slope,) = torch.autograd.grad(value, z)
        return value.item(), slope.numpy()

    def hessian(x: np.ndarray) -> np.ndarray:
        return torch.autograd.functional.hessian(objective, torch.from_numpy(x)).numpy()

    start = np.zeros(len(generalist))
    # 1e-8: nearer the minimum the changes of the objective are rounding, and the method cannot judge its steps.
    found = minimize(value_and_slope, start, method="trust-exact", jac=True, hess=hessian, options={"gtol": 1e-8})
    return torch.from_numpy(found.x).softmax(-1)


@pytest.mark.parametrize("ratio", [1, 3, 20])
def test_correction_undoes_oversampling(ratio: int) -> None:
    # How often each of 4 observations x comes with pdf 0 to 4; pdfs 1 and 3 are the specialist's.
    counts = torch.tensor([[5, 1, 7, 2, 9], [3, 8, 1, 1, 2], [10, 1, 1, 1, 30], [2, 6, 4, 9, 1]]).double()
    pdfs = torch.tensor([1, 3])
    drawn = counts.clone()
    drawn[:, pdfs] *= ratio
    learnt = of_specialist(drawn, pdfs).log()  # the logits of a model that fits what was drawn
    expected = of_specialist(counts / counts.sum(1, keepdim=True), pdfs)
    torch.testing.assert_close(dustbin_correction(learnt, ratio).softmax(-1), expected)
    # Half of what is drawn from the cluster, half from the rest, as in the paper: the ratio is (1 - s) / s.
    s = (counts[:, pdfs].sum() / counts.sum()).item()
    halves = counts / (1 - s)
    halves[:, pdfs] = counts[:, pdfs] / s
    torch.testing.assert_close(dustbin_correction(of_specialist(halves, pdfs).log(), (1 - s) / s).softmax(-1), expected)


def test_correction_keeps_its_input_and_upcasts() -> None:
    z = torch.zeros(2, 3, 4, dtype=torch.float16)
    found = dustbin_correction(z, math.exp(2))
    assert found.dtype == torch.float32 and z.eq(0).all()
    torch.testing.assert_close(found, torch.tensor([0.0, 0, 0, 2]).expand(2, 3, 4))


def test_frames_without_a_specialist_keep_the_generalist() -> None:
    z = logits(30, 5)
    torch.testing.assert_close(combine(z, []), z.softmax(-1))
    one = specialist([1, 4], 30, seed=1)
    found, idle = combine(z, [one]), ~torch.isin(z.argmax(1), one.pdfs)
    assert 0 < idle.sum() < 30
    torch.testing.assert_close(found[idle], z.softmax(-1)[idle])
    assert (found[~idle] - z.softmax(-1)[~idle]).abs().amax(1).gt(1e-3).all()
    assert combine(z[:0], [specialist([1], 0, seed=0)]).shape == (0, 5)


def test_specialists_that_agree_change_nothing() -> None:
    z = logits(50, 8)
    clusters = [torch.tensor(pdfs) for pdfs in ([0, 1, 2], [2, 3, 4, 5, 6], [7, 0], [5], [5, 2, 0])]
    agreeing = [Specialist(pdfs, of_specialist(z.softmax(-1), pdfs).log()) for pdfs in clusters]
    torch.testing.assert_close(combine(z, agreeing), z.softmax(-1), atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("specialists", [1, 2, 3])
def test_specialists_of_one_cluster_by_lagrange_multipliers(specialists: int) -> None:
    # k specialists of the same S. With the multiplier W of the constraint sum of q = 1, the derivative by q_c is
    #     in S:         a_c / q_c = W, so q_c = (p_g(c) + sum of p_m(c)) / W;
    #     outside of S: p_g(c) / q_c + (sum of d_m) / Q = W, so q_c is in proportion to p_g(c); summed over these c,
    #                   P + sum of d_m = W Q, P being their sum of p_g, and q_c = p_g(c) / P * (P + sum of d_m) / W.
    # All summed up, 1 + k = W.
    z, pdfs = logits(40, 6), torch.tensor([4, 0, 2])
    z[:, 4] += 20  # active in all frames
    models = [Specialist(pdfs, logits(40, 4, seed=seed)) for seed in range(1, specialists + 1)]
    p, parts = z.softmax(-1), sum(model.logits.softmax(-1) for model in models)
    assert isinstance(parts, Tensor)
    outside = p[:, [1, 3, 5]].sum(1, keepdim=True)
    expected = p / outside * (outside + parts[:, -1:]) / (1 + specialists)
    expected[:, pdfs] = (p[:, pdfs] + parts[:, :-1]) / (1 + specialists)
    torch.testing.assert_close(combine(z, models), expected)


def test_by_hand() -> None:
    # p_g = (1/2, 1/4, 1/4); the specialist of pdf 0 says 1/4, dustbin 3/4: q_0 = 3/8, and the rest is split evenly.
    found = combine(torch.tensor([[2.0, 1, 1]]).log(), [Specialist(torch.tensor([0]), torch.tensor([[1.0, 3]]).log())])
    torch.testing.assert_close(found, torch.tensor([[6.0, 5, 5]]) / 16)


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 6), st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([0.5, 1.5, 3.0]), st.data())
def test_against_scipy(num_pdfs: int, number: int, seed: int, scale: float, data: st.DataObject) -> None:
    z = logits(1, num_pdfs, seed=seed, scale=scale)
    top = int(z.argmax())
    models = []
    for m in range(number):
        others = [c for c in range(num_pdfs) if c != top]
        pdfs = data.draw(st.lists(st.sampled_from(others), unique=True, max_size=num_pdfs - 2))
        models.append(specialist([top, *pdfs], 1, seed=seed + m + 1, scale=scale))
    found, expected = combine(z, models)[0], brute_force(z[0], models)
    assert (found - expected).abs().max() < 1e-5
    assert equation_5(found, z[0], models) <= equation_5(expected, z[0], models) + 1e-9


def sums(generalist: Tensor, specialists: list[Specialist]) -> tuple[Tensor, Tensor, Tensor]:
    """a (N, C), d (N, k) and the pdfs outside of each cluster (k, C), when all the specialists are active."""
    named, outside = generalist.softmax(-1), torch.ones(len(specialists), generalist.shape[1]).double()
    dustbins = torch.zeros(len(generalist), len(specialists)).double()
    for m, one in enumerate(specialists):
        outside[m, one.pdfs] = 0
        named[:, one.pdfs] += one.logits.softmax(-1)[:, :-1]
        dustbins[:, m] = one.logits.softmax(-1)[:, -1]
    return named, dustbins, outside


def by_duality(named: np.ndarray, dustbins: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The minimiser (C,) for a (C,), d (k,) and outside (k, C), by a method that shares nothing with the descent.

    At the minimum q_c = a_c / (W - sum over m without c of mu_m) with mu_m = d_m / Q_m. These mu minimise the convex
    - sum of a_c log(W - sum of mu_m) - sum of d_m log mu_m; Newton's method finds them by their logs, first for a + t
    with a large t, then a smaller.
    """
    weight = 1 + len(dustbins)

    def dual(log_mu: np.ndarray, a: np.ndarray) -> float:
        left = weight - outside.T @ np.exp(log_mu)
        return -(a * np.log(left)).sum() - dustbins @ log_mu if left.min() > 0 else math.inf

    log_mu = np.full(len(dustbins), math.log(0.5 * weight / len(dustbins)))
    for added in [*(10.0**-k for k in range(1, 16)), 0]:
        a = named + added
        for _ in range(50):
            mu = np.exp(log_mu)
            left = weight - outside.T @ mu
            first = outside @ (a / left) * mu
            second = np.diag(first) + (outside * (a / left**2)) @ outside.T * np.outer(mu, mu)
            step, slope = -np.linalg.solve(second, first - dustbins), first - dustbins
            size = 1.0
            while size > 1e-10 and dual(log_mu + size * step, a) > dual(log_mu, a) + 1e-4 * size * (slope @ step):
                size /= 2
            if size <= 1e-10 or abs(step).max() < 1e-12:
                break
            log_mu = log_mu + size * step
    q: np.ndarray = named / (weight - outside.T @ np.exp(log_mu))
    return q / q.sum()


@pytest.mark.parametrize("scale", [1.0, 3.0, 6.0])
def test_overlapping_specialists_against_the_dual_problem(scale: float) -> None:
    clusters = [[0, 1, 2, 3], [2, 3, 4, 0, 5, 6, 7], [7, 8, 0], [0, 10, 11, 3, 1], [5, 9, 0, 2, 4, 6, 8, 10]]
    z = logits(50, 12, scale=scale)
    z[:, 0] = z.amax(1) + 0.1  # all are active
    models = [specialist(pdfs, 50, seed=m + 1, scale=scale) for m, pdfs in enumerate(clusters)]
    found, gap = combine_with_gap(z, models)
    done = gap <= GAP
    assert done.double().mean() > 0.95  # at scale 6 some models are so sure of contradictions that descent is slow
    named, dustbins, outside = sums(z, models)
    for row in range(50):
        expected = torch.from_numpy(by_duality(named[row].numpy(), dustbins[row].numpy(), outside.numpy()))
        here = [one._replace(logits=one.logits[row : row + 1]) for one in models]
        above = equation_5(found[row], z[row], here) - equation_5(expected, z[row], here)
        assert -1e-9 <= above <= gap[row] + 1e-9
        if done[row]:
            assert (found[row] - expected).abs().max() < 1e-5


def test_more_steps_never_raise_equation_5(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = [[0, 1], [0, 2, 3, 4], [0, 5], [0, 1, 3, 5]]
    z = logits(30, 6, scale=6)
    z[:, 0] = z.amax(1) + 0.1
    models = [specialist(pdfs, 30, seed=m + 1, scale=6) for m, pdfs in enumerate(clusters)]
    before = torch.full((30,), torch.inf).double()
    for steps in (0, 1, 2, 3, 5, 10, 30, 100, STEPS):
        monkeypatch.setattr("asrkd.specialists.combine.STEPS", steps)
        found = combine(z, models)
        now = torch.stack(
            [
                equation_5(found[row], z[row], [one._replace(logits=one.logits[row : row + 1]) for one in models])
                for row in range(30)
            ]
        )
        assert (now <= before + 1e-12).all()
        before = now


def test_gradient_against_autograd() -> None:
    clusters = [[0, 1, 2], [2, 5], [4, 2, 3, 6]]
    z_g = logits(4, 7)
    z_g[:, 2] += 20  # all three are active
    models = [specialist(pdfs, 4, seed=m + 1) for m, pdfs in enumerate(clusters)]
    z = logits(4, 7, seed=8).requires_grad_()
    named, dustbins, outside = sums(z_g, models)
    total = torch.stack(
        [
            equation_5(z[row].softmax(-1), z_g[row], [one._replace(logits=one.logits[row : row + 1]) for one in models])
            for row in range(4)
        ]
    ).sum()
    (expected,) = torch.autograd.grad(total, z)
    torch.testing.assert_close(gradient(z.detach().softmax(-1), named, dustbins, outside), expected)


def test_order_of_specialists_and_frames_changes_nothing() -> None:
    z = logits(100, 9)
    clusters = [[0, 1, 2, 3], [2, 3, 4], [5, 6, 7, 1], [7, 8, 0, 2, 4], [3]]
    models = [specialist(pdfs, 100, seed=m + 1) for m, pdfs in enumerate(clusters)]
    expected = combine(z, models)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        torch.testing.assert_close(combine(z, [models[m] for m in order]), expected, atol=1e-12, rtol=1e-10)
    turned = [
        Specialist(one.pdfs.flip(0), torch.cat([one.logits[:, :-1].flip(1), one.logits[:, -1:]], 1)) for one in models
    ]
    torch.testing.assert_close(combine(z, turned), expected, atol=1e-12, rtol=1e-10)
    back = [one._replace(logits=one.logits.flip(0)) for one in models]
    torch.testing.assert_close(combine(z.flip(0), back).flip(0), expected, atol=1e-12, rtol=1e-10)
    alone = [combine(z[i : i + 1], [one._replace(logits=one.logits[i : i + 1]) for one in models]) for i in range(100)]
    torch.testing.assert_close(torch.cat(alone), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("gap", [100.0, 1e4])
def test_float32_logits_with_wide_gaps(gap: float) -> None:
    # The generalist is sure of pdf 0, one specialist of pdf 1, another of its dustbin.
    z = torch.zeros(2, 6)
    z[:, 0] = gap
    first, second = torch.zeros(2, 3), torch.zeros(2, 3)
    first[:, 1] = gap
    second[:, -1] = gap
    found = combine(z, [Specialist(torch.tensor([0, 1]), first)])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([0.5, 0.5, 0, 0, 0, 0]).expand(2, 6))
    both = combine(z, [Specialist(torch.tensor([0, 1]), first), Specialist(torch.tensor([0, 2]), second)])
    # F = -log q_0 - log q_1 - log(q_1 + q_3 + q_4 + q_5): pdf 1 serves both specialists, 2 log q_1 + log q_0.
    torch.testing.assert_close(both, torch.tensor([1 / 3, 2 / 3, 0, 0, 0, 0]).expand(2, 6), atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 3.0, 50.0]), st.sampled_from([torch.float32, torch.float64]))
def test_result_is_a_distribution(seed: int, scale: float, dtype: torch.dtype) -> None:
    z = logits(20, 10, seed=seed, scale=scale).to(dtype)
    models = [
        specialist(
            torch.randperm(10, generator=torch.Generator().manual_seed(seed + m))[: 2 + m].tolist(), 20, m, scale
        )
        for m in range(6)
    ]
    found = combine(z, models)
    assert found.dtype == dtype and found.shape == (20, 10) and found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(20, dtype=dtype))


def test_gap_bounds_what_is_missing_when_descent_is_slow() -> None:
    # No model gives pdf 1 or 2 much: how they share the second specialist's dustbin is all but open.
    z = torch.tensor([[1.0, 1e-9, 1e-7]]).double().log()
    models = [
        Specialist(torch.tensor([0, 1]), torch.tensor([[1.0, 1e-7, 1e-9]]).double().log()),
        Specialist(torch.tensor([0]), torch.tensor([[0.5, 0.5]]).double().log()),
    ]
    found = combine_with_gap(z, models)
    assert isinstance(found, Combined)
    named, dustbins, outside = sums(z, models)
    expected = torch.from_numpy(by_duality(named[0].numpy(), dustbins[0].numpy(), outside.numpy()))
    above = float(equation_5(found.posteriors[0], z[0], models) - equation_5(expected, z[0], models))
    assert -1e-12 <= above <= float(found.gap) and above < 1e-6


def test_mistakes_are_named() -> None:
    z = logits(3, 5)
    for ratio in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"above 0, found {ratio}"):
            dustbin_correction(z, ratio)
    with pytest.raises(ValueError, match=r"\(N, C\), found \(5,\)"):
        combine(z[0], [])
    with pytest.raises(ValueError, match=r"\(3, 3\).*found \(3, 2\)"):
        combine(z, [Specialist(torch.tensor([0, 1]), z[:, :2])])
    for pdfs in ([0, 5], [-1, 0], [2, 2]):
        with pytest.raises(ValueError, match=r"different pdfs from 0 to 4, found \["):
            combine(z, [Specialist(torch.tensor(pdfs), z[:, :3])])
    for wrong in (torch.arange(0), torch.arange(5), torch.zeros(1, 2).long()):
        with pytest.raises(ValueError, match="S from 1 to 4"):
            combine(z, [Specialist(wrong, z)])
    with pytest.raises(ValueError, match="integers"):
        combine(z, [Specialist(torch.tensor([0.5]), z[:, :2])])
