"""Diagonal-covariance Gaussian mixtures, one a pdf: likelihoods, statistics, updates and growth.

All Gaussians stand in one array, sorted by pdf, so that the likelihoods of a block of frames are matrix products.
"""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch import Tensor

LOG_2PI = float(np.log(2 * np.pi))
VARIANCE_FLOOR = 0.01  # of the global variance
MIN_OCCUPANCY = 10.0  # frames; a Gaussian with fewer is dropped, unless it is its pdf's last
MIN_SPLIT = 40.0  # frames a Gaussian of a pdf must have left after a split
POWER = 0.25  # Gaussians are given to the pdfs in proportion to frames ** POWER
PERTURBATION = 0.2  # standard deviations by which the halves of a split move apart
CHUNK = 256  # frames whose likelihoods are worked out at once, so that they stay in the cache


@dataclass(frozen=True)
class Gmm:
    """The Gaussians of pdf s are first[s] to first[s + 1]."""

    first: np.ndarray  # (C + 1,) int64
    weights: np.ndarray  # (G,) float64; sum to one in each pdf
    means: np.ndarray  # (G, D) float64
    variances: np.ndarray  # (G, D) float64

    @property
    def num_pdfs(self) -> int:
        return len(self.first) - 1

    @property
    def pdf_of(self) -> np.ndarray:
        """(G,): the pdf of each Gaussian."""
        return np.repeat(np.arange(self.num_pdfs), np.diff(self.first))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"first": self.first, "weights": self.weights, "means": self.means, "variances": self.variances}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "Gmm":
        return Gmm(arrays["first"], arrays["weights"], arrays["means"], arrays["variances"])


@dataclass
class Statistics:
    """Sums over frames, weighted by the posterior of each Gaussian within its frame's pdf. Float64."""

    log_likelihood: float
    occupancy: np.ndarray  # (G,)
    first: np.ndarray  # (G, D)
    second: np.ndarray  # (G, D)

    def add(self, other: "Statistics") -> None:
        self.log_likelihood += other.log_likelihood
        self.occupancy += other.occupancy
        self.first += other.first
        self.second += other.second


def single_gaussians(means: np.ndarray, variances: np.ndarray) -> Gmm:
    """One Gaussian a pdf, from (C, D) means and variances."""
    count = len(means)
    return Gmm(np.arange(count + 1), np.ones(count), means, variances)


@dataclass(frozen=True)
class Scorer:
    """A GMM laid out for matrix products."""

    first: np.ndarray  # (C + 1,)
    rows: Tensor  # (G, 1 + 2 D) float32: the constant, the factors of x and of x**2, for logarithms to the base 2


def scorer(gmm: Gmm) -> Scorer:
    constant = _log_scale(gmm) - 0.5 * np.sum(gmm.means**2 / gmm.variances, axis=1)
    rows = np.column_stack([constant, gmm.means / gmm.variances, -0.5 / gmm.variances])
    # To the base 2, since torch.exp2 is some ten times as fast as torch.exp where numbers underflow.
    return Scorer(gmm.first, torch.from_numpy((rows / math.log(2)).astype(np.float32)))


def log_likelihoods(scorer: Scorer, x: Tensor, pdfs: np.ndarray) -> Tensor:
    """(N, D) float32 observations to (N, K) float32 log densities of the mixtures `pdfs` (K,).

    Mixtures of the same size are one group, whose Gaussians are laid out so that sums over a mixture run over whole
    rows.
    """
    sizes = np.diff(scorer.first)[pdfs]
    groups, order = [], []
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        members = scorer.first[pdfs[places]] + np.arange(size)[:, None]  # (k, n)
        groups.append((int(size), scorer.rows[torch.from_numpy(members.ravel())]))
        order.append(places)
    columns = torch.from_numpy(np.argsort(np.concatenate(order)))
    result = torch.empty(len(x), len(pdfs))
    for chunk, rows in zip(x.split(CHUNK), result.split(CHUNK), strict=True):
        expanded = torch.cat([torch.ones(len(chunk), 1), chunk, chunk * chunk], dim=1).T  # (1 + 2 D, B)
        parts = [_log_sum((weights @ expanded).view(size, -1, len(chunk))) for size, weights in groups]
        rows.copy_(torch.cat(parts)[columns].T)
    return result.mul_(math.log(2))


def _log_sum(scores: Tensor) -> Tensor:
    """log2(sum(exp2(scores), dim=0))."""
    if len(scores) == 1:
        return scores[0]
    highest = scores.amax(dim=0)
    return (scores - highest).exp2_().sum(dim=0).log2_().add_(highest)


def _log_scale(gmm: Gmm) -> np.ndarray:
    """(G,): the logarithm of each Gaussian's weight and normalising factor."""
    log_weights = np.log(np.maximum(gmm.weights, 1e-30))
    scale: np.ndarray = log_weights - 0.5 * np.sum(LOG_2PI + np.log(gmm.variances), axis=1)
    return scale


def accumulate(gmm: Gmm, x: np.ndarray, pdf: np.ndarray) -> Statistics:
    """The statistics of (N, D) float32 observations, each aligned to a pdf (N,); frames with pdf -1 are passed over."""
    statistics = Statistics(0.0, np.zeros(len(gmm.weights)), np.zeros_like(gmm.means), np.zeros_like(gmm.means))
    statistics.log_likelihood = float(
        _accumulate(
            x,
            pdf,
            gmm.first,
            _log_scale(gmm),
            gmm.means,
            0.5 / gmm.variances,
            statistics.occupancy,
            statistics.first,
            statistics.second,
        )
    )
    return statistics


@njit(nogil=True, cache=True)
def _accumulate(x, pdf, first, constant, means, precision, occupancy, sums, squares):  # type: ignore[no-untyped-def]
    total = 0.0
    posterior = np.empty(np.max(first[1:] - first[:-1]))
    for t in range(len(x)):
        if pdf[t] < 0:
            continue
        low, high = first[pdf[t]], first[pdf[t] + 1]
        highest = -np.inf
        for g in range(low, high):
            score = constant[g]
            for d in range(x.shape[1]):
                score -= precision[g, d] * (x[t, d] - means[g, d]) ** 2
            posterior[g - low] = score
            highest = max(highest, score)
        norm = 0.0
        for k in range(high - low):
            posterior[k] = np.exp(posterior[k] - highest)
            norm += posterior[k]
        total += highest + np.log(norm)
        for g in range(low, high):
            p = posterior[g - low] / norm
            if p < 1e-8:
                continue
            occupancy[g] += p
            for d in range(x.shape[1]):
                value = p * x[t, d]
                sums[g, d] += value
                squares[g, d] += value * x[t, d]
    return total


def update(gmm: Gmm, statistics: Statistics, floor: np.ndarray) -> Gmm:
    """The M-step. `floor` (D,) is the least variance. A pdf that no frame was aligned to keeps what it had."""
    pdf_of = gmm.pdf_of
    seen = statistics.occupancy >= MIN_OCCUPANCY
    starved = np.bincount(pdf_of, weights=seen, minlength=gmm.num_pdfs) == 0
    keep = seen | starved[pdf_of]
    pdf_of, old = pdf_of[keep], starved[pdf_of[keep]]

    occupancy = np.where(old, 1.0, statistics.occupancy[keep])
    means = statistics.first[keep] / occupancy[:, None]
    variances = np.maximum(statistics.second[keep] / occupancy[:, None] - means**2, floor)
    weights = occupancy / np.bincount(pdf_of, weights=occupancy, minlength=gmm.num_pdfs)[pdf_of]
    sizes = np.bincount(pdf_of, minlength=gmm.num_pdfs)
    return Gmm(
        first=np.concatenate([[0], np.cumsum(sizes)]),
        weights=np.where(old, gmm.weights[keep], weights),
        means=np.where(old[:, None], gmm.means[keep], means),
        variances=np.where(old[:, None], gmm.variances[keep], variances),
    )


def grow(gmm: Gmm, frames: np.ndarray, total: int, seed: int) -> Gmm:
    """Split Gaussians until there are `total`, or no pdf has the frames for more. `frames` (C,) were aligned to each
    pdf.

    The next one goes to the pdf with the most frames ** POWER a Gaussian, where its heaviest Gaussian is cut in two
    (the scheme of Kaldi's `gmm-mixup`).
    """
    targets = _split_targets(np.diff(gmm.first), frames, total)
    generator = np.random.default_rng(seed)
    parts = []
    for pdf, target in enumerate(targets):
        group = slice(gmm.first[pdf], gmm.first[pdf + 1])
        parts.append(_split(gmm.weights[group], gmm.means[group], gmm.variances[group], int(target), generator))
    weights, means, variances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Gmm(np.concatenate([[0], np.cumsum(targets)]), weights, means, variances)


def _split_targets(sizes: np.ndarray, frames: np.ndarray, total: int) -> np.ndarray:
    """(C,): how many Gaussians each pdf shall have."""
    targets = sizes.copy()
    share = frames**POWER
    heap = [(-share[pdf] / size, pdf) for pdf, size in enumerate(sizes)]
    heapq.heapify(heap)
    missing = total - int(sizes.sum())
    while missing > 0 and heap:
        _, pdf = heapq.heappop(heap)
        if frames[pdf] / (targets[pdf] + 1) < MIN_SPLIT:
            continue
        targets[pdf] += 1
        missing -= 1
        heapq.heappush(heap, (-share[pdf] / targets[pdf], pdf))
    return targets


def _split(
    weights: np.ndarray, means: np.ndarray, variances: np.ndarray, target: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    while len(weights) < target:
        heaviest = int(np.argmax(weights))
        step = PERTURBATION * np.sqrt(variances[heaviest]) * generator.choice([-1.0, 1.0], size=means.shape[1])
        means = np.vstack([means, means[heaviest] - step])
        means[heaviest] += step
        variances = np.vstack([variances, variances[heaviest]])
        weights = np.append(weights, weights[heaviest] / 2)
        weights[heaviest] /= 2
    return weights, means, variances
