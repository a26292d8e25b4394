"""Mixtures against scipy, EM against its guarantee, growth against hand-made cases."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from asrkd.align.gmm import Gmm, accumulate, grow, log_likelihoods, scorer, single_gaussians, update


def random_gmm(sizes: list[int], dimension: int, seed: int = 0) -> Gmm:
    rng = np.random.default_rng(seed)
    weights = np.concatenate([rng.dirichlet(np.ones(size)) for size in sizes])
    first = np.concatenate([[0], np.cumsum(sizes)])
    shape = (sum(sizes), dimension)
    return Gmm(first, weights, rng.normal(size=shape), rng.uniform(0.05, 2, shape))


def by_scipy(gmm: Gmm, x: np.ndarray, pdf: int) -> np.ndarray:
    parts = [
        np.log(gmm.weights[g]) + multivariate_normal(gmm.means[g], np.diag(gmm.variances[g])).logpdf(x)
        for g in range(gmm.first[pdf], gmm.first[pdf + 1])
    ]
    density: np.ndarray = logsumexp(parts, axis=0)
    return density


def test_log_likelihoods_against_scipy() -> None:
    gmm = random_gmm([1, 3, 2, 3, 1, 5], 7)
    x = np.random.default_rng(1).normal(size=(300, 7)).astype(np.float32) * 2  # more than a chunk
    pdfs = np.array([5, 0, 3, 1])
    found = log_likelihoods(scorer(gmm), torch.from_numpy(x), pdfs).numpy()
    wanted = np.column_stack([by_scipy(gmm, x, pdf) for pdf in pdfs])
    assert np.allclose(found, wanted, rtol=1e-4, atol=2e-3)


def test_log_likelihoods_far_away_do_not_underflow() -> None:
    gmm = random_gmm([4, 2], 39)
    x = np.full((1, 39), 30, dtype=np.float32)
    found = log_likelihoods(scorer(gmm), torch.from_numpy(x), np.array([0, 1])).numpy()[0]
    assert np.allclose(found, [by_scipy(gmm, x, 0), by_scipy(gmm, x, 1)], rtol=1e-4)


def test_statistics_against_posteriors() -> None:
    gmm = random_gmm([2, 3], 4)
    x = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
    pdf = np.random.default_rng(3).integers(-1, 2, 50).astype(np.int32)
    found = accumulate(gmm, x, pdf)
    for s in (0, 1):
        mine = x[pdf == s].astype(np.float64)
        group = slice(gmm.first[s], gmm.first[s + 1])
        joint = np.array(
            [
                np.log(gmm.weights[g]) + multivariate_normal(gmm.means[g], np.diag(gmm.variances[g])).logpdf(mine)
                for g in range(group.start, group.stop)
            ]
        )
        posterior = np.exp(joint - logsumexp(joint, axis=0))  # (k, n)
        assert np.allclose(found.occupancy[group], posterior.sum(axis=1), atol=1e-5)
        assert np.allclose(found.first[group], posterior @ mine, atol=1e-5)
        assert np.allclose(found.second[group], posterior @ mine**2, atol=1e-5)
    whole = sum(by_scipy(gmm, x[pdf == s], s).sum() for s in (0, 1))
    assert found.log_likelihood == pytest.approx(whole, rel=1e-6)


def test_em_does_not_lose_likelihood() -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(-3, 1, (400, 3)), rng.normal(2, 0.5, (600, 3))]).astype(np.float32)
    pdf = np.zeros(1000, dtype=np.int32)
    floor = np.full(3, 1e-6)
    gmm = grow(single_gaussians(x.mean(axis=0)[None], x.var(axis=0)[None]), np.array([1000.0]), 4, seed=0)
    history = []
    for _ in range(12):
        statistics = accumulate(gmm, x, pdf)
        history.append(statistics.log_likelihood)
        gmm = update(gmm, statistics, floor)
    assert (np.diff(history) > -1e-6).all()
    assert history[-1] > history[0] + 500
    assert gmm.weights.sum() == pytest.approx(1)


def test_update_of_one_gaussian_is_mean_and_variance() -> None:
    x = np.random.default_rng(5).normal(2, 3, size=(200, 4)).astype(np.float32)
    floor = np.array([0, 0, 0, 100.0])
    start = single_gaussians(np.zeros((2, 4)), np.ones((2, 4)))
    gmm = update(start, accumulate(start, x, np.zeros(200, dtype=np.int32)), floor)
    assert np.allclose(gmm.means[0], x.mean(axis=0), atol=1e-5)
    assert np.allclose(gmm.variances[0], np.maximum(x.var(axis=0), floor), atol=1e-4)
    assert (gmm.means[1] == 0).all()  # no frame: kept
    assert (gmm.variances[1] == 1).all()


def test_update_drops_what_few_frames_support() -> None:
    gmm = Gmm(np.array([0, 2]), np.array([0.5, 0.5]), np.array([[0.0], [50.0]]), np.ones((2, 1)))
    x = np.random.default_rng(6).normal(size=(100, 1)).astype(np.float32)
    updated = update(gmm, accumulate(gmm, x, np.zeros(100, dtype=np.int32)), np.array([0.01]))
    assert updated.first.tolist() == [0, 1]
    assert updated.weights.tolist() == [1.0]


def test_growth_reaches_the_total_and_keeps_the_mean() -> None:
    gmm = random_gmm([1, 1, 1], 3)
    frames = np.array([100_000.0, 1000.0, 50.0])
    grown = grow(gmm, frames, 12, seed=1)
    sizes = np.diff(grown.first)
    assert sizes.sum() == 12
    assert sizes[0] > sizes[1] > sizes[2] == 1  # 50 frames are too few for two Gaussians
    for pdf in range(3):
        group = slice(grown.first[pdf], grown.first[pdf + 1])
        assert grown.weights[group].sum() == pytest.approx(1)
        assert np.allclose(grown.weights[group] @ grown.means[group], gmm.means[pdf])
    again = grow(gmm, frames, 12, seed=1)
    assert (again.means == grown.means).all()


def test_growth_stops_where_frames_end() -> None:
    assert len(grow(random_gmm([1, 1], 2), np.array([90.0, 130.0]), 50, seed=0).weights) == 5
