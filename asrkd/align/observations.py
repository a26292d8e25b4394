"""What the GMMs see: cepstra of the stored log-mel frames with their first and second differences."""

import functools
import math

import numpy as np
import torch
from torch import Tensor

NUM_CEPSTRA = 13
DELTA_WINDOW = 2  # frames on either side


def observations(mel: np.ndarray, first: np.ndarray, last: np.ndarray) -> Tensor:
    """(N, mel) log-mel frames of whole utterances to (N, 39) float32.

    `first` and `last` (N,) are the rows at which the utterance of each row begins and ends: the differences repeat the
    edge frames and never reach across. Diagonal Gaussians want decorrelated values, which the DCT gives and log-mel is
    not.
    """
    cepstra = torch.from_numpy(mel.astype(np.float32)) @ _dct(mel.shape[1])  # (N, 13)
    deltas = _differences(cepstra, first, last)
    return torch.cat([cepstra, deltas, _differences(deltas, first, last)], dim=1)  # (N, 39)


def _differences(values: Tensor, first: np.ndarray, last: np.ndarray) -> Tensor:
    """The slope of a line fitted through 2 * DELTA_WINDOW + 1 frames (as in HTK and Kaldi)."""
    rows = np.arange(len(values))
    slope = torch.zeros_like(values)
    for k in range(1, DELTA_WINDOW + 1):
        ahead = torch.from_numpy(np.minimum(rows + k, last))
        behind = torch.from_numpy(np.maximum(rows - k, first))
        slope += k * (values[ahead] - values[behind])
    return slope / (2 * sum(k * k for k in range(1, DELTA_WINDOW + 1)))


@functools.cache
def _dct(num_mel: int) -> Tensor:
    """(mel, 13): the first columns of the orthonormal DCT-II."""
    order = torch.arange(min(NUM_CEPSTRA, num_mel), dtype=torch.float64)
    place = (torch.arange(num_mel, dtype=torch.float64) + 0.5) / num_mel
    basis = torch.cos(math.pi * place[:, None] * order) * math.sqrt(2 / num_mel)
    basis[:, 0] /= math.sqrt(2)
    return basis.float()
