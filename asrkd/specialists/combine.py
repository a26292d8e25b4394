"""One distribution out of a generalist's and its specialists'.

Hinton, Vinyals and Dean (2015), section 5.4. A specialist m has one output for each pdf of its cluster S_m and one, the
dustbin, for all other pdfs. For a frame, A are the specialists whose cluster holds the generalist's most probable pdf
(the paper's n = 1), and the distribution wanted is the q that minimises equation 5,

    F(q) = KL(p_g, q) + sum over m in A of KL(p_m, q_m),

where q_m is q on the pdfs of S_m and, for the dustbin, Q_m, the sum of q over all other pdfs.

With a_c = p_g(c) + the sum of p_m(c) over the m in A whose cluster holds c, d_m = p_m(dustbin) and W = 1 + |A|,

    F = constant - sum over c of a_c log q_c - sum over m of d_m log Q_m.

With q = softmax(z) the gradient is

    dF / dz_c = W q_c - r_c,    r_c = a_c + q_c * (sum over the m in A whose cluster does not hold c of d_m / Q_m);

the r_c sum to W. F is convex in q and a_c > 0, so there is one q of gradient 0, and it is the minimum.

The step. log Q_m is logsumexp(z outside S_m) - logsumexp(z), and minus the first of these is concave in z, below its
tangent. With it, and with log x <= x - 1, a step from z to z + t changes F by

    F(z + t) - F(z) <= W log(sum of q_c exp(t_c)) - sum of r_c t_c <= sum of W q_c (exp(t_c) - 1 - t_c r_c / (W q_c)).

Gradient descent with the step size 1 / (W q_c) for the logit z_c is t_c = u = r_c / (W q_c) - 1, at least -1. Each term
is then W q_c (exp(u) - 1 - u - u**2), not above 0 for u up to 1; where u is above 1, t_c = 1 and the term is below
W q_c (exp(1) - 1 - 2) < 0. So a step in which no logit rises by more than 1 never raises F. One step size for all
logits could not be above 2 / W for sure, and pdfs of a small q_c would hardly move.

The stop. F is convex in q and dF / dq_c = -r_c / q_c, hence F(q) - min F <= max of r_c / q_c - W: how far a frame is
from its minimum is known without knowing the minimum. With one specialist in A the start is the minimum; with more,
tens of steps are the rule. Where several are sure of what contradicts the others, pdfs that no model gives much to
share a dustbin's mass in a way that F hardly depends on, and steps become small: such a frame may end at STEPS, with
an F that is near the minimum (`Combined.gap` bounds how near) and a q that need not be.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asrkd.distill.checks import check_integers, check_same_shape, upcast

GAP = 1e-10  # nats above the minimum at which a frame is done; q is then within 1e-5 of the minimiser
STEPS = 2000  # at most, for a frame
LOWEST = -500.0  # log probabilities are no lower: their sums and products stay above 0 in float64


class Specialist(NamedTuple):
    pdfs: Tensor  # (S,) integers, its cluster
    logits: Tensor  # (N, S + 1): of those pdfs in that order, then of the dustbin, as `dustbin_correction` returns them


class Combined(NamedTuple):
    posteriors: Tensor  # (N, C) float32 or float64, q
    gap: Tensor  # (N,) float64, nats: F(q) is at most so far above its minimum; above GAP where STEPS were not enough


def dustbin_correction(logits: Tensor, sampling_ratio: float) -> Tensor:
    """A specialist's logits (..., S + 1) as if it had been trained on frames as they come: (..., S + 1).

    sampling_ratio: how many times more often than a frame of the dustbin a frame of the cluster was drawn, relative to
    all the frames there are. When half of the frames drawn are of a cluster that has a share s of all frames, it is
    (s' / (1 - s')) / (s / (1 - s)) at s' = 1/2, which is (1 - s) / s.

    The log of the ratio is added to the dustbin's logit (the paper's section 5.2: the logit is incremented "by the log
    of the proportion by which the specialist class is oversampled"). For, with frames of the cluster drawn r times as
    often, the model learns p'(c | x) in proportion to r p(c | x) for a pdf c of the cluster and to p(dustbin | x) for
    the dustbin. Multiplied by 1 for the pdfs and by r for the dustbin, both are in proportion to p: log r, above 0
    when the cluster was oversampled, is added to the dustbin's logit.

    Half precision is computed in float32. Raises ValueError when the ratio is not finite and above 0.
    """
    if not (sampling_ratio > 0 and math.isfinite(sampling_ratio)):
        raise ValueError(f"expected a finite sampling_ratio above 0, found {sampling_ratio}")
    corrected = upcast(logits).clone()
    corrected[..., -1] += math.log(sampling_ratio)
    return corrected


@torch.no_grad()
def combine(generalist_logits: Tensor, specialists: Sequence[Specialist]) -> Combined:
    """The q of each frame that minimises equation 5, float64 where the generalist's logits are, else float32.

    generalist_logits: (N, C), or log probabilities, an ensemble's for example. A frame whose most probable pdf is in no
    specialist's cluster keeps the generalist's distribution. The logits z are found by gradient descent in float64,
    see above, for all frames of the same active specialists at once. Where one specialist is active the start is the
    minimiser: (p_g + p_m) / 2 on its cluster and p_g * (P + d) / (2 P) elsewhere, P = the sum of p_g there.

    Memory: some ten float64 of (N, C); pass large sets in blocks.
    Raises ValueError when a shape does not fit, or a cluster is empty, holds all pdfs, one twice or one that is not.
    """
    logits = upcast(generalist_logits)
    if logits.ndim != 2:
        raise ValueError(f"expected generalist_logits of shape (N, C), found {tuple(logits.shape)}")
    frames, num_pdfs = logits.shape
    for specialist in specialists:
        _check_specialist(specialist, frames, num_pdfs)
    p = _probabilities(logits)
    q, gap = p.clone(), p.new_zeros(frames)
    if not specialists or not frames:
        return Combined(q.to(logits.dtype), gap)
    inside = torch.zeros(len(specialists), num_pdfs, dtype=torch.bool, device=logits.device)
    for number, specialist in enumerate(specialists):
        inside[number, specialist.pdfs.to(logits.device)] = True
    active = inside.T[p.argmax(1)]  # (N, M)
    patterns, which = active.unique(dim=0, return_inverse=True)  # (A, M), (N,)
    for number, pattern in enumerate(patterns):
        chosen = pattern.nonzero().squeeze(1).tolist()
        if not chosen:
            continue
        rows = (which == number).nonzero().squeeze(1)  # (n,)
        named, dustbins = p[rows], []
        for m in chosen:
            p_m = _probabilities(specialists[m].logits[rows].to(logits.device))  # (n, S + 1)
            named.index_add_(1, specialists[m].pdfs.to(logits.device).long(), p_m[:, :-1])
            dustbins.append(p_m[:, -1])
        q[rows], gap[rows] = _descend(p[rows], named, torch.stack(dustbins, 1), (~inside[chosen]).double())
    return Combined(q.to(logits.dtype), gap)


def gradient(q: Tensor, named: Tensor, dustbins: Tensor, outside: Tensor) -> Tensor:
    """dF / dz at q = softmax(z), for the k specialists of A: (n, C).

    q: (n, C); named: a, (n, C); dustbins: d, (n, k); outside: (k, C), 1 where the pdf is not in the cluster, else 0.
    """
    return (1 + len(outside)) * q - _expected(q, named, dustbins, outside)


def _expected(q: Tensor, named: Tensor, dustbins: Tensor, outside: Tensor) -> Tensor:
    """r of the gradient, (n, C): a, and each dustbin shared out among its pdfs in proportion to q."""
    mass = q @ outside.T  # Q, (n, k)
    return named + q * ((dustbins / mass) @ outside)


def _descend(p: Tensor, named: Tensor, dustbins: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """The minimiser (n, C) and the gap (n,), from the generalist's p (n, C); the others are those of `gradient`."""
    weight = 1 + len(outside)
    z = _expected(p, named, dustbins, outside).log()
    gap = z.new_zeros(len(z))
    left = torch.arange(len(z), device=z.device)  # the frames that are not done
    for step in range(STEPS + 1):
        q = z[left].softmax(1)
        down = -gradient(q, named[left], dustbins[left], outside) / q  # r / q - W, (n, C)
        gap[left] = down.amax(1).clamp(min=0)
        far = gap[left] > GAP
        left = left[far]
        if not len(left) or step == STEPS:
            break
        z[left] += (down[far] / weight).clamp(max=1)
    return z.softmax(1), gap


def _probabilities(logits: Tensor) -> Tensor:
    return upcast(logits).double().log_softmax(1).clamp(min=LOWEST).exp()


def _check_specialist(specialist: Specialist, frames: int, num_pdfs: int) -> None:
    pdfs = specialist.pdfs
    check_integers("pdfs", pdfs)
    if pdfs.ndim != 1 or not 1 <= len(pdfs) < num_pdfs:
        raise ValueError(f"expected pdfs of shape (S,), S from 1 to {num_pdfs - 1}, found {tuple(pdfs.shape)}")
    if int(pdfs.min()) < 0 or int(pdfs.max()) >= num_pdfs or len(pdfs.unique()) < len(pdfs):
        raise ValueError(f"expected different pdfs from 0 to {num_pdfs - 1}, found {pdfs.tolist()}")
    check_same_shape("a specialist's logits", specialist.logits.shape, "frames and pdfs", (frames, len(pdfs) + 1))
