"""The parallel part of stages 5 and 11: a shard of utterances from features to soft targets on disk."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asrkd.config import Config
from asrkd.distill.ensemble import ensemble_posteriors
from asrkd.distill.store import SoftTargetStore
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.models.dnn import load_model
from asrkd.train.device import choose_device
from asrkd.train.folds import Group
from asrkd.train.forward import blocks_of_logits, expect_alike, in_blocks
from asrkd.train.training import TargetKind

# exp, config, teachers, utterances, kinds -> for each utterance its id and its probabilities (T, C) of each kind.
Source = Callable[[Path, Config, list[str], list[str], list[TargetKind]], Iterator[tuple[str, list[Tensor]]]]

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
    wanted: Sequence[tuple[TargetKind, list[str]]],
    features: str,
    source: Source,
) -> None:
    """The soft targets of the shard's utterances, of every kind, but for those that are there already.

    wanted: each kind with the hashes of all teachers that its store has targets of; the shard's are some of them.
    """
    label_set = read_json(exp / "align" / "label_set.json")
    writers = [
        SoftTargetStore.create(
            exp / kind.folder,
            temperature=kind.temperature,
            num_pdfs=label_set["num_pdfs"],
            top_k=min(kind.top_k, label_set["num_pdfs"]),
            label_set=label_set["hash"],
            features=features,
            members=teachers,
            shard=shard.name,
        )
        for kind, teachers in wanted
    ]
    store = FrameStore.open(exp / "features" / "train")
    # The rest was written before a call was killed. Whole blocks, since the last bits of a product depend on its rows.
    blocks = in_blocks(store, shard.utterances)
    left = [block for block in blocks if any(name not in writer for writer in writers for name in block)]
    if not left:
        return
    missing = [name for block in left for name in block]
    for name, probs in source(exp, config, shard.teachers, missing, [kind for kind, _ in wanted]):
        for writer, own in zip(writers, probs, strict=True):
            if name not in writer:
                writer.add(name, own, first=int(store.first[store.index[name]]))
    for writer in writers:
        writer.close()


@torch.inference_mode()
def mean_targets(
    exp: Path, config: Config, teachers: list[str], utterances: list[str], kinds: list[TargetKind], *, speed: float
) -> Iterator[tuple[str, list[Tensor]]]:
    """A `Source`: means over teachers that hear the frames at this speed."""
    device = choose_device(config.run.device)
    heard = teachers[: max(kind.teachers or len(teachers) for kind in kinds)]
    models = [load_model(exp / "models" / name)[0].to(device) for name in heard]
    store = FrameStore.open(exp / "features" / "train")
    expect_alike(models, store)
    blocks = blocks_of_logits(models, store, utterances, config.train.precision, speed, config.features)
    for names, counts, logits in blocks:
        means = [ensemble_posteriors(logits[: kind.teachers], kind.temperature, kind.mean) for kind in kinds]
        split = [mean.cpu().split_with_sizes(counts) for mean in means]
        for number, name in enumerate(names):
            yield name, [own[number] for own in split]
