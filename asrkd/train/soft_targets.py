"""Stage 5, second half: what the teachers make of the training frames, at every temperature asked for."""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import Step, identity
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.parallel import parallel
from asrkd.train.folds import Group, target_groups, teacher_identities
from asrkd.train.jobs import at_speed, targets_name


def make_soft_targets(exp: Path, config: Config, force: bool = False) -> None:
    """Write the mean over the teachers of softmax(z / T) into EXP/targets/train-T2, ..., in one pass over the data for
    each of distill.speeds; where that is not 1 its folder is EXP/targets/train-T2-x0.9.

    The teachers are the members or, with distill.folds, those that never heard the speaker of the frame.
    Raises UserError when a teacher or the features are missing, or a fold's teacher is not of these folds.
    """
    folders = {temperature: targets_name(temperature) for temperature in config.distill.temperatures}
    write_targets(exp, config, folders, target_groups(exp, config), "stage 5", force=force)


def write_targets(
    exp: Path,
    config: Config,
    folders: Mapping[float, str],
    groups: Sequence[Group],
    made_by: str,
    *,
    mean: str = "arithmetic",
    force: bool = False,
) -> None:
    """Each group's targets by its teachers, in a folder of the experiment for each temperature and each of
    distill.speeds.

    mean: over the teachers, arithmetic or geometric. Raises UserError when a teacher or the features are missing, or
    the disk has no room for the targets.
    """
    for speed in config.distill.speeds:
        own = {temperature: at_speed(folder, speed) for temperature, folder in folders.items()}
        _write_at_speed(exp, config, own, groups, made_by, mean, speed, force)


def _write_at_speed(
    exp: Path,
    config: Config,
    folders: Mapping[float, str],
    groups: Sequence[Group],
    made_by: str,
    mean: str,
    speed: float,
    force: bool,
) -> None:
    teachers = teacher_identities(exp, groups)
    features = identity(exp / "features" / "train", "stage 1")
    more = section(config, "distill.folds", "distill.fold_members") if len(groups) > 1 else {}
    more |= {} if mean == "arithmetic" else {"mean": mean}
    more |= {} if speed == 1 else {"speed": speed}
    pending: dict[float, Step] = {}
    for temperature, folder in folders.items():
        step = Step(
            exp / folder,
            made_by=made_by,
            config={**section(config, "distill.top_k", "train.precision"), **more, "temperature": temperature},
            inputs={**teachers, "features/train": features},
            force=force,
        )
        if step.begin():
            pending[temperature] = step
    if not pending:
        return
    # Only now: they import torch, which takes seconds, and where nothing is to be done none are wanted.
    from asrkd.distill.store import CARD, SoftTargetStore
    from asrkd.train.device import one_net_at_a_time
    from asrkd.train.target_shards import make_shards, mean_targets, write_shard

    paths = {temperature: step.folder for temperature, step in pending.items()}
    _expect_room(exp, config, list(paths.values()))
    shards = make_shards(exp / "features" / "train", groups)
    source = partial(mean_targets, mean=mean, speed=speed)
    jobs = [(exp, config, shard, paths, teachers, features, source) for shard in shards]
    parallel(write_shard, jobs, one_net_at_a_time(config.run), what="soft targets", unit="shards")
    who = f"{len(teachers)} members"
    if len(groups) > 1:
        who = f"the {len(groups[0].teachers)} of {len(teachers)} teachers that never heard their speaker"
    heard = "" if speed == 1 else f", at {speed:g} times the speed"
    for temperature, step in pending.items():
        store = SoftTargetStore.open(step.folder)
        # Not all that lies there: a writer that was killed may have left a temporary file.
        step.finish([CARD, *(shard.path.name for shard in store.shards)])
        print(
            f"T = {temperature:g}{heard}: soft targets of {len(store)} utterances by {who}, "
            f"{f'the {store.top_k} most probable of' if store.top_k else 'all'} {store.num_pdfs} pdfs in each frame",
            flush=True,
        )


def _expect_room(exp: Path, config: Config, folders: Sequence[Path]) -> None:
    """Raises UserError when what is still to be written does not fit on the disk: better now than after hours."""
    from asrkd.distill.records import record_bytes

    frames = len(FrameStore.open(exp / "features" / "train").frames)
    num_pdfs = read_json(exp / "align" / "label_set.json")["num_pdfs"]
    there = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    needed = len(folders) * frames * record_bytes(num_pdfs, config.distill.top_k) - there
    free = shutil.disk_usage(exp).free
    if needed > free:
        raise UserError(
            f"{folders[0]}: expected {needed / 1e9:.3g} GB of free disk for {len(folders)} times the soft targets of "
            f"{frames:,} frames, found {free / 1e9:.3g} GB; make room, or keep fewer pdfs of a frame: "
            f"distill.top_k={config.distill.top_k} ({'all of ' if not config.distill.top_k else ''}{num_pdfs} pdfs)"
        )
