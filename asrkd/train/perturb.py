"""Training frames as a faster or a slower speaker would have said them, made from the window of each frame.

What speed perturbation of the audio (Ko et al. 2015) does to its filterbanks, a window does by itself: at `speed` times
the rate it reaches `speed` times as far into the stored frames, and what was heard at f Hz is heard at speed * f Hz.
Nothing is extracted or aligned again, and a frame's label stays exact.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from asrkd.config import FeatureConfig, ModelConfig
from asrkd.features.fbank import hertz, mel


def reach(frames: int, speeds: Sequence[float]) -> int:
    """How many stored frames lie under so many frames at the fastest speed."""
    return math.ceil(frames * max(1.0, *speeds))


def speed_warps(
    speeds: Sequence[float], model: ModelConfig, features: FeatureConfig, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """For each speed what `perturbed` makes the model's windows with. Empty where the only speed is 1."""
    if list(speeds) == [1.0]:
        return []
    windows = [window_warp(speed, speeds, model.left, model.right).to(device) for speed in speeds]
    return [(window, mel_warp(speed, features).to(device)) for speed, window in zip(speeds, windows, strict=True)]


def window_warp(speed: float, speeds: Sequence[float], left: int, right: int) -> Tensor:
    """(left + 1 + right, reach(left) + 1 + reach(right)): a window at this speed, out of a wide one."""
    before, after = reach(left, speeds), reach(right, speeds)
    return interpolation(before + speed * torch.arange(-left, right + 1), before + 1 + after).T


def mel_warp(speed: float, config: FeatureConfig) -> Tensor:
    """(mel, mel): the bins at this speed, out of those at speed 1; beyond the highest bin itself."""
    edges = torch.tensor([config.low_freq, config.highest_freq], dtype=torch.float64)
    low, high = mel(edges).tolist()
    centres = torch.linspace(low, high, config.num_mel_bins + 2, dtype=torch.float64)[1:-1]
    places = (mel(hertz(centres) / speed) - centres[0]) / (centres[1] - centres[0])
    return interpolation(places, config.num_mel_bins)


def interpolation(places: Tensor, count: int) -> Tensor:
    """(count, len(places)): the weight of each of `count` neighbours at each place; beyond the ends that of the end."""
    places = places.double().clamp(0, count - 1)
    distance = (places - torch.arange(count, dtype=torch.float64)[:, None]).abs()
    return (1 - distance).clamp_(min=0).float()


def perturbed(inputs: Tensor, warps: Sequence[tuple[Tensor, Tensor]], counts: Sequence[int]) -> Tensor:
    """inputs: (B, wide * mel), of which the first counts[0] frames go through warps[0], a window's and a mel warp, and
    so on. Returns (B, window * mel). Without warps the inputs stay as they are."""
    if not warps:
        return inputs
    parts = inputs.view(len(inputs), warps[0][0].shape[1], -1).split(list(counts))  # (b, wide, mel)
    warped = [window @ (part @ bins) for part, (window, bins) in zip(parts, warps, strict=True)]  # (b, window, mel)
    return torch.cat(warped).flatten(1)
