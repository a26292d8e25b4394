"""The work of stage 1: a split from its cut set to its frame store."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from lhotse import CutSet

from asrkd.config import FeatureConfig, RunConfig
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.left_out import check_left_out, write_left_out
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.cmvn import Moments, normalise
from asrkd.features.shards import Extracted, Segment, Shard, extract_shard, make_shards, read_table
from asrkd.features.store import FRAMES, UTTERANCES, write_store
from asrkd.files import write_json
from asrkd.parallel import parallel
from asrkd.progress import duration, track


def extract(step: Step, cuts_path: Path, features: FeatureConfig, run: RunConfig, max_left_out: float) -> None:
    """Fill the folder of a step that has begun, and finish the step. See `extract.extract_split`."""
    begun = time.monotonic()
    what = f"features of {step.folder.name}"
    segments = [*segments_of(read_cuts(cuts_path))]
    shards = make_shards(segments, step.folder / "shards", features.sample_rate)
    missing = [(shard, features) for shard in shards if not shard.table_path.is_file()]
    if missing:
        parallel(extract_shard, missing, run, what=what, unit="shards")
    tables = [read_table(shard) for shard in shards]
    left_out = [item for table in tables for item in table.left_out]
    write_left_out(step.folder / "left_out.jsonl", left_out)
    try:
        check_left_out(left_out, len(segments), max_left_out, what=what, option="data.max_left_out")
    except UserError:
        # The files may be mended before the next call: it is to try them again.
        for shard, table in zip(shards, tables, strict=True):
            if table.left_out:
                shard.table_path.unlink()
        raise
    frames = write_store(
        step.folder, _normalised(shards, tables, features, what), num_mel=features.num_mel_bins, dtype=features.dtype
    )
    utterances = len(segments) - len(left_out)
    card = {"features": asdict(features), "inputs": step.inputs, "frames": frames, "utterances": utterances}
    write_json(step.folder / "card.json", card)
    step.finish([FRAMES, UTTERANCES, "card.json", "left_out.jsonl"])
    shutil.rmtree(step.folder / "shards")
    for item in left_out:
        print(f"left out: {item.id}: {item.why}")
    audio, seconds = frames * features.frame_shift / 1000, time.monotonic() - begun
    print(
        f"{what}: {utterances} utterances, {frames} frames, {len(left_out)} left out; "
        f"{duration(seconds)}, {audio / seconds:.0f} times real time",
        flush=True,
    )


def segments_of(cuts: CutSet) -> Iterator[Segment]:
    for cut in cuts:
        source = cut.recording.sources[0]
        yield Segment(
            id=cut.id,
            speaker=cut.supervisions[0].speaker,
            audio=source.source,
            column=source.channels.index(cut.channel),
            first_sample=round(cut.start * cut.sampling_rate),
            num_samples=cut.num_samples,
        )


def _normalised(
    shards: list[Shard], tables: list[Extracted], features: FeatureConfig, what: str
) -> Iterator[tuple[str, str, np.ndarray[Any, Any]]]:
    """(id, speaker, frames (T, mel)) of every utterance, in order, with the mean and variance of its speaker."""
    sums: dict[str, Moments] = {}
    for table in tables:
        for speaker, own in table.moments.items():
            sums[speaker] = sums[speaker] + own if speaker in sums else own
    normalisers = {speaker: total.normaliser(features.cmvn_variance) for speaker, total in sums.items()}
    for shard, table in track(list(zip(shards, tables, strict=True)), what=f"{what}, normalised", unit="shards"):
        frames = np.load(shard.frames_path, allow_pickle=False)
        last = 0
        for row in table.utterances:
            first, last = last, last + row["frames"]
            yield row["id"], row["speaker"], normalise(frames[first:last], *normalisers[row["speaker"]])
