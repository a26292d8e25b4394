"""Stage 5: what the ensemble makes of the training frames, at every temperature asked for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from asrkd.config import Config, section
from asrkd.distill.store import CARD, SoftTargetStore
from asrkd.experiment import Step, identity, read_json
from asrkd.features.store import FrameStore
from asrkd.models.dnn import load_model
from asrkd.parallel import parallel
from asrkd.systems import member_names
from asrkd.train.device import choose_device, one_net_at_a_time
from asrkd.train.forward import posteriors
from asrkd.train.jobs import targets_name

# A job's share, which does not depend on the number of jobs. More shards than that would slow the gathering of frames.
SHARD_FRAMES = 50_000
MAX_SHARDS = 64


@dataclass(frozen=True)
class Shard:
    name: str
    utterances: list[str]


def make_soft_targets(exp: Path, config: Config, force: bool = False) -> None:
    """Write the mean over the members of softmax(z / T) into EXP/targets/train-T2, ..., in one pass over the data.

    Raises UserError when a member or the features are missing.
    """
    members = {f"models/{name}": identity(exp / "models" / name, "stage 4") for name in member_names(config)}
    features = identity(exp / "features" / "train", "stage 1")
    pending: dict[float, Step] = {}
    for temperature in config.distill.temperatures:
        step = Step(
            exp / targets_name(temperature),
            made_by="stage 5",
            config={**section(config, "distill.top_k", "train.precision"), "temperature": temperature},
            inputs={**members, "features/train": features},
            force=force,
        )
        if step.begin():
            pending[temperature] = step
    if not pending:
        return
    folders = {temperature: step.folder for temperature, step in pending.items()}
    jobs = [(exp, config, shard, folders, members, features) for shard in _shards(exp / "features" / "train")]
    parallel(_write_shard, jobs, one_net_at_a_time(config.run), what="soft targets", unit="shards")
    for temperature, step in pending.items():
        store = SoftTargetStore.open(step.folder)
        # Not all that lies there: a writer that was killed may have left a temporary file.
        step.finish([CARD, *(shard.path.name for shard in store.shards)])
        print(
            f"T = {temperature:g}: soft targets of {len(store)} utterances by {len(members)} members, "
            f"{f'the {store.top_k} most probable of' if store.top_k else 'all'} {store.num_pdfs} pdfs in each frame",
            flush=True,
        )


def _shards(features: Path) -> list[Shard]:
    store = FrameStore.open(features)
    share = max(SHARD_FRAMES, math.ceil(len(store.frames) / MAX_SHARDS))
    groups: dict[int, list[str]] = {}
    for name, first in zip(store.ids, store.first.tolist(), strict=True):
        groups.setdefault(first // share, []).append(name)
    return [Shard(f"{number:05d}", names) for number, names in enumerate(groups.values())]


def _write_shard(
    exp: Path,
    config: Config,
    shard: Shard,
    folders: Mapping[float, Path],
    members: Mapping[str, str],
    features: str,
) -> None:
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
