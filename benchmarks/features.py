"""Stage 1 against its limit, which is decoding the audio: how many times faster than real time each is.

    python -m benchmarks.features [EXP]     on the training audio of EXP/data, else on ten minutes of made-up FLAC

All on one process a core, as stage 1 works. Its last line is the whole stage in an empty folder: the processes' start,
the normalisation and the writing with it.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.compliance import kaldi

from asrkd.config import FeatureConfig, RunConfig
from asrkd.corpus.cuts import read_cuts
from asrkd.features.extract import extract_split
from asrkd.features.fbank import SCALE, fbank
from asrkd.features.shards import Segment, Shard, extract_shard, make_shards, read_samples
from asrkd.features.split import segments_of
from asrkd.parallel import cores, parallel
from benchmarks.timing import seconds, table

CONFIG = FeatureConfig()
RATE = CONFIG.sample_rate


def make_audio(folder: Path, utterances: int = 60, length: float = 10.0) -> list[Segment]:
    """FLAC files of noise whose loudness rises and falls four times a second, as speech does."""
    rng = np.random.default_rng(0)
    time_axis = np.arange(round(length * RATE)) / RATE
    segments = []
    for number in range(utterances):
        noise = np.cumsum(rng.normal(size=len(time_axis))) % 1 - 0.5 + rng.normal(size=len(time_axis))
        path = folder / f"{number}.flac"
        soundfile.write(path, 0.03 * noise * (1 + np.sin(8 * np.pi * time_axis)), RATE, subtype="PCM_16")
        segments.append(Segment(str(number), "speaker", str(path), 0, 0, len(time_axis)))
    return segments


def decode(shard: Shard) -> None:
    for segment in shard.segments:
        read_samples(segment, RATE)


def decode_and_compute(shard: Shard, by: Callable[[torch.Tensor], torch.Tensor]) -> None:
    torch.set_num_threads(1)
    for segment in shard.segments:
        samples = read_samples(segment, RATE)
        if isinstance(samples, np.ndarray):
            by(torch.from_numpy(samples))


def ours(samples: torch.Tensor) -> torch.Tensor:
    return fbank(samples, CONFIG)


def torchaudios(samples: torch.Tensor) -> torch.Tensor:
    return kaldi.fbank(samples[None] * SCALE, sample_frequency=RATE, num_mel_bins=CONFIG.num_mel_bins)


def rates(segments: list[Segment], folder: Path) -> list[list[str]]:
    audio = sum(segment.num_samples for segment in segments) / RATE
    shards = make_shards(segments, folder, RATE)
    folder.mkdir()
    run = RunConfig()

    def on_all(function: Callable[..., None], *more: object) -> Callable[[], object]:
        return lambda: parallel(function, [(shard, *more) for shard in shards], run, what="benchmark", lone=False)

    times = seconds(
        {
            "decoding alone": on_all(decode),
            "decoding, torchaudio's filterbanks": on_all(decode_and_compute, torchaudios),
            "decoding, asrkd's filterbanks": on_all(decode_and_compute, ours),
            "decoding, asrkd's filterbanks, moments, shards on disk": on_all(extract_shard, CONFIG),
        },
        repeats=5,
    )
    limit = times["decoding alone"]
    return [[name, f"{audio / t:,.0f}", f"{limit / t:.2f}"] for name, t in times.items()]


def main(exp: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cuts = exp / "data" / "train.jsonl.gz" if exp else None
        segments = [*segments_of(read_cuts(cuts))] if cuts else make_audio(folder)
        rows = rates(segments, folder / "shards")
        if cuts:
            begun = time.perf_counter()
            extract_split(cuts, folder / "stage", CONFIG, RunConfig(), 0.01, {})
            taken = time.perf_counter() - begun
            audio = sum(segment.num_samples for segment in segments) / RATE
            rows.append(["the whole stage, in processes that are there", f"{audio / taken:,.0f}", ""])
    print(table([f"{cores()} cores", "times real time", "of decoding alone"], rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
