"""Training images, moved at random."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def jittered(inputs: Tensor, most: int) -> Tensor:
    """Square images (B, side * side), row by row, each moved by a whole number of pixels from -most to most in either
    axis; what comes in from outside is 0. Where `most` is 0 the inputs stay as they are."""
    if most == 0:
        return inputs
    side, device = math.isqrt(inputs.shape[1]), inputs.device
    wide = side + 2 * most
    padded = F.pad(inputs.view(-1, side, side), [most] * 4).flatten(1)  # (B, wide * wide)
    row, column = torch.randint(
        2 * most + 1, (2, len(inputs), 1), device=device
    )  # (B, 1) each, of the upper left pixel
    pixels = torch.arange(side, device=device)
    places = (pixels[:, None] * wide + pixels).flatten()  # (side * side,)
    return padded.gather(1, row * wide + column + places)
