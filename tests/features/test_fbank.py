import math
from typing import Any

import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi

from asrkd.config import FeatureConfig
from asrkd.features.fbank import LOG_FLOOR, SCALE, fbank


def mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def written_out(samples: np.ndarray[Any, Any], config: FeatureConfig) -> np.ndarray[Any, Any]:
    """Log-mel filterbank energies from their definitions, in float64, with a DFT as a matrix."""
    rate = config.sample_rate
    length, shift = round(rate * config.frame_length / 1000), round(rate * config.frame_shift / 1000)
    size = 1 << (length - 1).bit_length()
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))) ** 0.85  # Povey's
    dft = np.exp(-2j * np.pi * np.outer(np.arange(size // 2), np.arange(length)) / size)
    high = config.high_freq if config.high_freq > 0 else rate / 2 + config.high_freq
    edges = np.linspace(mel(config.low_freq), mel(high), config.num_mel_bins + 2)
    bins = np.array([mel(k * rate / size) for k in range(size // 2)])
    filters = np.zeros((config.num_mel_bins, size // 2))
    for b in range(config.num_mel_bins):
        left, centre, right = edges[b : b + 3]
        up, down = (bins - left) / (centre - left), (right - bins) / (right - centre)
        filters[b] = np.maximum(0, np.minimum(up, down))
    rows = []
    for start in range(0, len(samples) - length + 1, shift):
        frame = samples[start : start + length] * 32768.0
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(dft @ (frame * window)) ** 2
        rows.append(np.log(np.maximum(filters @ power, np.finfo(np.float32).eps)))
    return np.array(rows)


@pytest.mark.parametrize(
    "config",
    [FeatureConfig(), FeatureConfig(sample_rate=8000), FeatureConfig(num_mel_bins=23, low_freq=100, high_freq=-400)],
)
def test_against_a_dft_written_out(config: FeatureConfig) -> None:
    time = np.arange(config.sample_rate // 4) / config.sample_rate
    rng = np.random.default_rng(0)
    sine = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 2500 * time)
    samples = (sine + 0.01 * rng.normal(size=len(time))).astype(np.float32)
    found = fbank(torch.from_numpy(samples), config)
    expected = written_out(samples.astype(np.float64), config)
    assert found.shape == expected.shape == (23, config.num_mel_bins)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_a_sine_stands_in_its_own_band() -> None:
    config = FeatureConfig()
    time = torch.arange(16000) / 16000
    edges = np.linspace(mel(20), mel(8000), 42)
    for hertz in (300.0, 1000.0, 4000.0):
        loudest = int(fbank(0.5 * torch.sin(2 * math.pi * hertz * time), config).mean(dim=0).argmax())
        assert edges[loudest] < mel(hertz) < edges[loudest + 2]


def test_digital_silence_lies_at_the_floor_and_speech_is_left_alone() -> None:
    noise = 0.01 * torch.randn(1600, generator=torch.Generator().manual_seed(0))
    found = fbank(torch.cat([torch.zeros(1600), noise]), FeatureConfig())  # 18 frames; the edge is at frame 10
    assert (found[:8] == LOG_FLOOR).all()
    torch.testing.assert_close(found[10:], fbank(noise, FeatureConfig()))
    assert (found[10:] > LOG_FLOOR).all()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_how_many_frames(samples: int, frames: int) -> None:
    assert fbank(torch.zeros(samples), FeatureConfig()).shape == (frames, 40)


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(),
        FeatureConfig(sample_rate=8000),
        FeatureConfig(num_mel_bins=80, low_freq=60, high_freq=-400, frame_length=32, frame_shift=12.5),
    ],
)
def test_against_torchaudio(config: FeatureConfig) -> None:
    noise = 0.1 * torch.randn(12 * config.sample_rate, generator=torch.Generator().manual_seed(1))
    samples = noise * torch.linspace(1e-3, 1, len(noise))
    expected = kaldi.fbank(
        samples[None] * SCALE,
        sample_frequency=config.sample_rate,
        num_mel_bins=config.num_mel_bins,
        frame_length=config.frame_length,
        frame_shift=config.frame_shift,
        low_freq=config.low_freq,
        high_freq=config.high_freq,
        dither=0.0,
    ).clamp(min=LOG_FLOOR)
    torch.testing.assert_close(fbank(samples, config), expected, rtol=0, atol=1e-3)
