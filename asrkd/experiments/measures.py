"""What is measured of posteriors, frame by frame: accuracy, cross-entropy, entropy, calibration, disagreement.

Sums over frames are tensors that may be added up over utterances and splits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15  # of confidence, of equal width, as in Guo et al. 2017
SUMS = 4 + 3 * BINS
LEAST = 1e-30  # no probability is taken for less


@dataclass(frozen=True)
class Measures:
    frames: int
    accuracy: float  # percent
    cross_entropy: float  # of the label, nats a frame
    entropy: float  # nats a frame
    confidence: float  # the mean probability of the most probable pdf, percent
    calibration_error: float  # expected, percent
    bins: list[tuple[int, float, float]]  # for each one that has frames: how many, mean confidence, accuracy; percent


def frame_sums(probs: Tensor, labels: Tensor) -> Tensor:
    """probs (T, C), labels (T,) int64 -> (SUMS,) float64: frames, right ones, -log p(label), entropy, and by
    bin of confidence frames, right ones and confidence."""
    probs = probs.double()
    confidence, best = probs.max(1)  # (T,)
    right = (best == labels).double()
    log_p = probs.clamp(min=LEAST).log()
    loss = -log_p.gather(1, labels[:, None]).sum()
    entropy = -(probs * log_p).sum()
    # A bin holds its upper edge.
    place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    by_bin = torch.zeros(3, BINS, dtype=torch.float64)
    by_bin.index_add_(1, place, torch.stack([torch.ones_like(right), right, confidence]))
    count = torch.tensor(float(len(labels)), dtype=torch.float64)
    return torch.cat([torch.stack([count, right.sum(), loss, entropy]), by_bin.flatten()])


def measures(sums: Tensor) -> Measures:
    """Of the sum of `frame_sums` over at least one frame.

    The expected calibration error is the mean of |accuracy - confidence| over the bins, weighted by their frames (Guo,
    Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", equation 3).
    """
    frames, right, loss, entropy = sums[:4].tolist()
    if not frames:
        raise ValueError("expected at least one frame, found none")
    counts, rights, confidences = sums[4:].view(3, BINS)
    full = counts > 0
    bins = [
        (int(n), 100 * c / n, 100 * r / n)
        for n, r, c in zip(counts[full].tolist(), rights[full].tolist(), confidences[full].tolist(), strict=True)
    ]
    return Measures(
        frames=int(frames),
        accuracy=100 * right / frames,
        cross_entropy=loss / frames,
        entropy=entropy / frames,
        confidence=100 * float(confidences.sum()) / frames,
        calibration_error=100 * float((rights - confidences).abs().sum()) / frames,
        bins=bins,
    )


def disagreement_sums(probs: Tensor) -> Tensor:
    """probs (M, T, C) of M > 1 members -> (3,) float64: frames and, summed over them, the mean over ordered pairs of
    members of KL(p || q) in nats and the share of pairs whose most probable pdfs differ."""
    members = len(probs)
    probs = probs.double()
    log_p = probs.clamp(min=LEAST).log()
    # Over all ordered pairs, a member with itself being 0: sum_ij p_i (log p_i - log p_j).
    pairs = members * (members - 1)
    kl = (members * (probs * log_p).sum() - (probs.sum(0) * log_p.sum(0)).sum()) / pairs
    best = probs.argmax(2)  # (M, T)
    differ = (best[:, None] != best[None]).sum() / pairs
    return torch.stack([torch.tensor(float(probs.shape[1]), dtype=torch.float64), kl, differ.double()])
