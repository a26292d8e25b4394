"""The parallel part of stage 5: a shard of utterances from features to soft targets on disk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.experiment import read_json
from asrkd.features.store import FrameStore
from asrkd.models.dnn import load_model
from asrkd.train.device import choose_device
from asrkd.train.forward import posteriors

# A job's share, which does not depend on the number of jobs. More shards than that would slow the gathering of frames.
SHARD_FRAMES = 50_000
MAX_SHARDS = 64


@dataclass(frozen=True)
class Shard:
    name: str
    utterances: list[str]


def make_shards(features: Path) -> list[Shard]:
    """Runs of utterances of the FrameStore, in order."""
    store = FrameStore.open(features)
    share = max(SHARD_FRAMES, math.ceil(len(store.frames) / MAX_SHARDS))
    groups: dict[int, list[str]] = {}
    for name, first in zip(store.ids, store.first.tolist(), strict=True):
        groups.setdefault(first // share, []).append(name)
    return [Shard(f"{number:05d}", names) for number, names in enumerate(groups.values())]


def write_shard(
    exp: Path,
    config: Config,
    shard: Shard,
    folders: Mapping[float, Path],
    members: Mapping[str, str],
    features: str,
) -> None:
    """The soft targets of the shard's utterances, at every temperature, but for those that are there already."""
    label_set = read_json(exp / "align" / "label_set.json")
    writers = {
        temperature: SoftTargetStore.create(
            folder,
            temperature=temperature,
            num_pdfs=label_set["num_pdfs"],
            top_k=min(config.distill.top_k, label_set["num_pdfs"]),
            label_set=label_set["hash"],
            features=features,
            members=list(members.values()),
            shard=shard.name,
        )
        for temperature, folder in folders.items()
    }
    # The rest was written before a call was killed.
    missing = [name for name in shard.utterances if any(name not in writer for writer in writers.values())]
    if not missing:
        return
    device = choose_device(config.run.device)
    models = [load_model(exp / name)[0].to(device) for name in members]
    store = FrameStore.open(exp / "features" / "train")
    for name, means in posteriors(models, store, missing, list(folders), config.train.precision):
        for writer, mean in zip(writers.values(), means, strict=True):
            if name not in writer:
                writer.add(name, mean, first=int(store.first[store.index[name]]))
    for writer in writers.values():
        writer.close()
