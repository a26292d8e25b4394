"""Stage 5, second half: what the teachers make of the training frames, at every temperature asked for."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import Step, identity
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.parallel import parallel
from asrkd.train.folds import Group, target_groups, teacher_identities
from asrkd.train.training import TargetKind, at_speed, targets_name


def make_soft_targets(exp: Path, config: Config, force: bool = False) -> None:
    """Write the mean over the teachers of softmax(z / T) into EXP/targets/train-T2, ..., in one pass over the data for
    each of distill.speeds; where that is not 1 its folder is EXP/targets/train-T2-x0.9.

    The teachers are the members or, with distill.folds, those that never heard the speaker of the frame.
    Raises UserError when a teacher or the features are missing, or a fold's teacher is not of these folds.
    """
    kinds = [TargetKind(targets_name(t), t, config.distill.top_k) for t in config.distill.temperatures]
    write_targets(exp, config, kinds, target_groups(exp, config), "stage 5", force=force)


def write_targets(
    exp: Path,
    config: Config,
    kinds: Sequence[TargetKind],
    groups: Sequence[Group],
    made_by: str,
    force: bool = False,
) -> None:
    """Each group's targets by its teachers, of every kind in one pass over the data for each of distill.speeds; where
    that is not 1 its folders have the speed in their names.

    Raises UserError when a teacher or the features are missing, or the disk has no room for the targets.
    """
    for speed in config.distill.speeds:
        own = [replace(kind, folder=at_speed(kind.folder, speed)) for kind in kinds]
        _write_at_speed(exp, config, own, groups, made_by, speed, force)


def _write_at_speed(
    exp: Path,
    config: Config,
    kinds: Sequence[TargetKind],
    groups: Sequence[Group],
    made_by: str,
    speed: float,
    force: bool,
) -> None:
    features = identity(exp / "features" / "train", "stage 1")
    more = section(config, "distill.folds", "distill.fold_members") if len(groups) > 1 else {}
    more |= {} if speed == 1 else {"speed": speed}
    pending: list[tuple[TargetKind, dict[str, str], Step]] = []
    for kind in kinds:
        chosen = [replace(group, teachers=group.teachers[: kind.teachers]) for group in groups]
        teachers = teacher_identities(exp, chosen)
        about = {**section(config, "train.precision"), "distill.top_k": kind.top_k, "temperature": kind.temperature}
        about |= {} if kind.mean == "arithmetic" else {"mean": kind.mean}
        inputs = {**teachers, "features/train": features}
        step = Step(exp / kind.folder, made_by=made_by, config=about | more, inputs=inputs, force=force)
        if step.begin():
            pending.append((kind, teachers, step))
    if not pending:
        return
    # Only now: they import torch, which takes seconds, and where nothing is to be done none are wanted.
    from asrkd.distill.store import CARD, SoftTargetStore
    from asrkd.train.device import one_net_at_a_time
    from asrkd.train.target_shards import make_shards, mean_targets, write_shard

    wanted = [(kind, list(teachers.values())) for kind, teachers, _ in pending]
    expect_room(exp, [kind for kind, _ in wanted])
    shards = make_shards(exp / "features" / "train", groups)
    jobs = [(exp, config, shard, wanted, features, partial(mean_targets, speed=speed)) for shard in shards]
    parallel(write_shard, jobs, one_net_at_a_time(config.run), what="soft targets", unit="shards")
    heard = "" if speed == 1 else f", at {speed:g} times the speed"
    for kind, teachers, step in pending:
        own = len(groups[0].teachers[: kind.teachers])
        apart = f"the {own} of {len(teachers)} teachers that never heard their speaker"
        who = apart if len(groups) > 1 else f"{own} members"
        store = SoftTargetStore.open(step.folder)
        # Not all that lies there: a writer that was killed may have left a temporary file.
        step.finish([CARD, *(shard.path.name for shard in store.shards)])
        print(
            f"T = {kind.temperature:g}{heard}: soft targets of {len(store)} utterances by {who}, "
            f"{f'the {store.top_k} most probable of' if store.top_k else 'all'} {store.num_pdfs} pdfs in each frame",
            flush=True,
        )


def expect_room(exp: Path, kinds: Sequence[TargetKind]) -> None:
    """Raises UserError when what is still to be written does not fit on the disk: better now than after hours."""
    from asrkd.distill.records import record_bytes

    frames = len(FrameStore.open(exp / "features" / "train").frames)
    num_pdfs = read_json(exp / "align" / "label_set.json")["num_pdfs"]
    there = sum(path.stat().st_size for kind in kinds for path in (exp / kind.folder).iterdir())
    sizes = [frames * record_bytes(num_pdfs, min(kind.top_k, num_pdfs)) for kind in kinds]
    needed = sum(sizes) - there
    free = shutil.disk_usage(exp).free
    if needed > free:
        largest = kinds[sizes.index(max(sizes))]
        raise UserError(
            f"{exp / largest.folder}: expected {needed / 1e9:.3g} GB of free disk for {len(kinds)} times the soft "
            f"targets of {frames:,} frames, found {free / 1e9:.3g} GB; make room, or keep fewer pdfs of a frame: "
            f"distill.top_k={largest.top_k} ({'' if largest.top_k else 'all of '}{num_pdfs} pdfs)"
        )
