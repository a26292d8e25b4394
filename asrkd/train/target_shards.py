"""The parallel part of stages 5 and 11: a shard of utterances from features to soft targets on disk."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.models.dnn import load_model
from asrkd.train.device import choose_device
from asrkd.train.folds import Group
from asrkd.train.forward import in_blocks, posteriors

# exp, config, teachers, utterances, temperatures -> for each utterance its id and its probabilities (T, C) at each.
Source = Callable[[Path, Config, list[str], list[str], list[float]], Iterator[tuple[str, list[Tensor]]]]

# A job's share, which does not depend on the number of jobs. More shards than that would slow the gathering of frames.
SHARD_FRAMES = 50_000
MAX_SHARDS = 64


@dataclass(frozen=True)
class Shard:
    name: str
    utterances: list[str]
    teachers: list[str]  # folders under EXP/models


def make_shards(features: Path, groups: Sequence[Group]) -> list[Shard]:
    """Runs of utterances of each group, in the FrameStore's order."""
    store = FrameStore.open(features)
    share = max(SHARD_FRAMES, math.ceil(len(store.frames) / MAX_SHARDS))
    runs: dict[tuple[int, int], list[str]] = {}
    for number, group in enumerate(groups):
        before = 0  # frames of the group
        for name in group.utterances:
            runs.setdefault((number, before // share), []).append(name)
            before += int(store.counts[store.index[name]])
    return [
        Shard(f"{place:05d}", names, groups[number].teachers) for place, ((number, _), names) in enumerate(runs.items())
    ]


def write_shard(
    exp: Path,
    config: Config,
    shard: Shard,
    folders: Mapping[float, Path],
    teachers: Mapping[str, str],
    features: str,
    source: Source,
) -> None:
    """The soft targets of the shard's utterances, at every temperature, but for those that are there already.

    teachers: models/NAME -> the hash of each one that the store has targets of; the shard's are some of them.
    """
    label_set = read_json(exp / "align" / "label_set.json")
    writers = {
        temperature: SoftTargetStore.create(
            folder,
            temperature=temperature,
            num_pdfs=label_set["num_pdfs"],
            top_k=min(config.distill.top_k, label_set["num_pdfs"]),
            label_set=label_set["hash"],
            features=features,
            members=list(teachers.values()),
            shard=shard.name,
        )
        for temperature, folder in folders.items()
    }
    store = FrameStore.open(exp / "features" / "train")
    # The rest was written before a call was killed. Whole blocks, since the last bits of a product depend on its rows.
    blocks = in_blocks(store, shard.utterances)
    left = [block for block in blocks if any(name not in writer for writer in writers.values() for name in block)]
    if not left:
        return
    for name, probs in source(exp, config, shard.teachers, [name for block in left for name in block], list(folders)):
        for writer, own in zip(writers.values(), probs, strict=True):
            if name not in writer:
                writer.add(name, own, first=int(store.first[store.index[name]]))
    for writer in writers.values():
        writer.close()


def mean_targets(
    exp: Path,
    config: Config,
    teachers: list[str],
    utterances: list[str],
    temperatures: list[float],
    *,
    mean: str,
    speed: float,
) -> Iterator[tuple[str, list[Tensor]]]:
    """A `Source`: the mean, arithmetic or geometric, over teachers that hear the frames at this speed."""
    device = choose_device(config.run.device)
    models = [load_model(exp / "models" / name)[0].to(device) for name in teachers]
    store = FrameStore.open(exp / "features" / "train")
    return posteriors(models, store, utterances, temperatures, config.train.precision, mean, speed, config.features)
