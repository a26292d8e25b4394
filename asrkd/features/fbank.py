"""Log-mel filterbank energies, as Kaldi computes them."""

import torchaudio
from torch import Tensor

from asrkd.config import FeatureConfig

SCALE = 32768.0  # Kaldi reads audio as 16-bit integers; the log energies keep that offset
# The least log energy, about that of Kaldi's dither. Digital silence would lie 20 below the quietest speech, and a
# tenth of it in a speaker's files spoils the mean and the variance that normalise the rest.
LOG_FLOOR = 4.0


def fbank(samples: Tensor, config: FeatureConfig) -> Tensor:
    """samples: (S,) float32 in [-1, 1) at config.sample_rate. Returns (T, mel) float32, natural logarithms.

    Pre-emphasis of 0.97, Povey window, power spectrum, triangles on HTK's mel scale. Frames that would reach over the
    edge are left out: T is 0 when the audio is shorter than one frame. No dither is added, so that the same audio
    always gives the same frames; LOG_FLOOR does its work.
    """
    if len(samples) < config.frame_length * config.sample_rate / 1000:
        return samples.new_empty(0, config.num_mel_bins)
    features: Tensor = torchaudio.compliance.kaldi.fbank(
        samples[None] * SCALE,
        sample_frequency=float(config.sample_rate),
        num_mel_bins=config.num_mel_bins,
        frame_length=config.frame_length,
        frame_shift=config.frame_shift,
        low_freq=config.low_freq,
        high_freq=config.high_freq,
        dither=0.0,
    )
    return features.clamp(min=LOG_FLOOR)
