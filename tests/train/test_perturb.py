"""A window at another speed against the filterbanks of a signal that is really played at it."""

import math

import pytest
import torch
from torch import Tensor

from asrkd.config import FeatureConfig
from asrkd.features.fbank import fbank
from asrkd.train.perturb import interpolation, mel_warp, perturbed, reach, window_warp

LEFT, RIGHT, SPEEDS = 6, 3, (0.9, 1.0, 1.2)


def chirp(speed: float) -> Tensor:
    """Two seconds, or what is left of them at this speed, of harmonics that rise and pulse."""
    config = FeatureConfig()
    t = torch.arange(int(2 * config.sample_rate / speed), dtype=torch.float64) / config.sample_rate * speed
    phase = 2 * math.pi * (180 * t + 60 * t**2)
    wave = sum(torch.sin(k * phase) / k for k in range(1, 12)) * (1.2 + torch.sin(2 * math.pi * 2.5 * t))
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.05 * wave + 0.001 * noise).float()


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_warped_window_is_nearer_to_the_played_one_than_the_stored_one_is(speed: float) -> None:
    config = FeatureConfig()
    stored, played = fbank(chirp(1.0), config), fbank(chirp(speed), config)  # (T, mel)
    before, after = reach(LEFT, SPEEDS), reach(RIGHT, SPEEDS)
    warp = [(window_warp(speed, SPEEDS, LEFT, RIGHT), mel_warp(speed, config))]
    warped_error, stored_error = 0.0, 0.0
    for centre in range(20, 150, 10):
        # A frame's middle lies 12.5 ms after its begin, which the speed changes too.
        there = round((centre * 10 + 12.5) / speed / 10 - 1.25)
        target = played[there - LEFT : there + RIGHT + 1]
        wide = stored[centre - before : centre + after + 1].reshape(1, -1)
        made = perturbed(wide, warp, [1]).view(target.shape)
        warped_error += float((made - target).abs().mean())
        stored_error += float((stored[centre - LEFT : centre + RIGHT + 1] - target).abs().mean())
    if speed == 1.0:
        assert warped_error < 1e-3 and stored_error < 1e-3
    else:
        assert warped_error < 0.6 * stored_error


def test_the_frames_of_a_batch_go_through_their_own_warp() -> None:
    config = FeatureConfig(num_mel_bins=7)
    warps = [(window_warp(s, SPEEDS, LEFT, RIGHT), mel_warp(s, config)) for s in SPEEDS]
    wide = torch.randn(9, reach(LEFT, SPEEDS) + 1 + reach(RIGHT, SPEEDS), 7)
    found = perturbed(wide.flatten(1), warps, [4, 2, 3])  # (9, window * mel)
    for row, which in enumerate([0, 0, 0, 0, 1, 1, 2, 2, 2]):
        window, bins = warps[which]
        expected = torch.einsum("ts,sm,mn->tn", window, wide[row], bins)
        torch.testing.assert_close(found[row].view_as(expected), expected)


def test_interpolation_by_hand() -> None:
    weights = interpolation(torch.tensor([-1.0, 0.0, 0.25, 1.5, 9.0]), 3)
    expected = [[1, 1, 0.75, 0, 0], [0, 0, 0.25, 0.5, 0], [0, 0, 0, 0.5, 1]]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_at_speed_one_nothing_changes() -> None:
    config = FeatureConfig()
    torch.testing.assert_close(mel_warp(1.0, config), torch.eye(40))
    torch.testing.assert_close(window_warp(1.0, [1.0], LEFT, RIGHT), torch.eye(LEFT + 1 + RIGHT))
