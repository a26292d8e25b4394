"""The parallel part of feature extraction: a shard of utterances from audio files to filterbanks on disk.

Kept apart from `extract`, so that a worker process need not import Lhotse.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from asrkd.config import FeatureConfig
from asrkd.corpus.left_out import LeftOut
from asrkd.features.cmvn import Moments
from asrkd.features.fbank import fbank
from asrkd.files import hash_value, read_json, write_json, write_npy

SECONDS = 600.0  # of audio in a shard: a second of work, and what a killed call loses


@dataclass(frozen=True)
class Segment:
    """An utterance as a part of an audio file."""

    id: str
    speaker: str
    audio: str
    column: int  # of the channels in the file
    first_sample: int
    num_samples: int


@dataclass(frozen=True)
class Shard:
    """`<path>.npy` holds the frames, float32; `<path>.json`, written after it, marks the shard as finished."""

    path: Path
    segments: tuple[Segment, ...]

    @property
    def frames_path(self) -> Path:
        return self.path.with_name(self.path.name + ".npy")

    @property
    def table_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")


def make_shards(segments: Sequence[Segment], folder: Path, sample_rate: int) -> list[Shard]:
    """Runs of utterances of about SECONDS. A shard's name tells its content, whatever the number of jobs."""
    groups: list[list[Segment]] = [[]]
    samples = 0
    for segment in segments:
        if samples >= SECONDS * sample_rate:
            groups.append([])
            samples = 0
        groups[-1].append(segment)
        samples += segment.num_samples
    return [
        Shard(folder / f"{number:05d}-{hash_value([asdict(segment) for segment in group])[:12]}", tuple(group))
        for number, group in enumerate(groups)
    ]


def extract_shard(shard: Shard, features: FeatureConfig) -> None:
    """Writes the shard's frames, their utterance table, each speaker's moments and what was left out."""
    # How a matrix product is cut into blocks, and so its last bit, depends on the number of threads.
    torch.set_num_threads(1)
    utterances: list[dict[str, Any]] = []
    left_out: list[LeftOut] = []
    moments: dict[str, Moments] = {}
    frames: list[np.ndarray[Any, Any]] = []
    for segment in shard.segments:
        samples = read_samples(segment, features.sample_rate)
        if isinstance(samples, LeftOut):
            left_out.append(samples)
            continue
        found = fbank(torch.from_numpy(samples), features).numpy()  # (T, mel)
        if len(found) == 0:
            expected = f"expected at least one frame of {features.frame_length:g} ms"
            why = f"{segment.audio}: {expected}, found {len(samples)} samples"
            left_out.append(LeftOut(segment.id, why))
            continue
        own = Moments.of(found)
        moments[segment.speaker] = moments[segment.speaker] + own if segment.speaker in moments else own
        frames.append(found)
        utterances.append({"id": segment.id, "speaker": segment.speaker, "frames": len(found)})
    write_npy(shard.frames_path, np.concatenate([np.empty((0, features.num_mel_bins), np.float32), *frames]))
    table = {
        "utterances": utterances,
        "moments": {speaker: own.to_json() for speaker, own in moments.items()},
        "left_out": [asdict(item) for item in left_out],
    }
    write_json(shard.table_path, table)


def read_samples(segment: Segment, sample_rate: int) -> np.ndarray[Any, Any] | LeftOut:
    """The utterance's samples, (S,) float32 in [-1, 1), or why it has none that can be used."""
    expected = f"expected {segment.num_samples} samples at {sample_rate} Hz"
    try:
        with soundfile.SoundFile(segment.audio) as file:
            if file.samplerate != sample_rate:
                return LeftOut(segment.id, f"{segment.audio}: {expected}, found {file.samplerate} Hz")
            if segment.column >= file.channels:
                return LeftOut(segment.id, f"{segment.audio}: expected channel {segment.column}, found {file.channels}")
            if segment.first_sample:
                file.seek(min(segment.first_sample, file.frames))
            samples = file.read(segment.num_samples, dtype="float32", always_2d=True)[:, segment.column]
    except soundfile.LibsndfileError as error:
        found = error.error_string if Path(segment.audio).is_file() else "no such file"
        return LeftOut(segment.id, f"{segment.audio}: {expected}, found {found}")
    if len(samples) != segment.num_samples:
        return LeftOut(segment.id, f"{segment.audio}: {expected}, found {len(samples)}")
    if not np.isfinite(samples).all():
        return LeftOut(segment.id, f"{segment.audio}: {expected}, found values that are no numbers")
    return np.ascontiguousarray(samples)


@dataclass(frozen=True)
class Extracted:
    """What a finished shard's table says."""

    utterances: list[dict[str, Any]]
    moments: dict[str, Moments]
    left_out: list[LeftOut]


def read_table(shard: Shard) -> Extracted:
    table = read_json(shard.table_path)
    moments = {speaker: Moments.from_json(own) for speaker, own in table["moments"].items()}
    return Extracted(table["utterances"], moments, [LeftOut(**item) for item in table["left_out"]])
