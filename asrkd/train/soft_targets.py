"""Stage 5: what the ensemble makes of the training frames, at every temperature asked for."""

from pathlib import Path

from asrkd.config import Config, section
from asrkd.experiment import Step, identity
from asrkd.parallel import parallel
from asrkd.systems import member_names
from asrkd.train.jobs import targets_name


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
    # Only now: they import torch, which takes seconds, and where nothing is to be done none are wanted.
    from asrkd.distill.store import CARD, SoftTargetStore
    from asrkd.train.device import one_net_at_a_time
    from asrkd.train.target_shards import make_shards, write_shard

    folders = {temperature: step.folder for temperature, step in pending.items()}
    jobs = [(exp, config, shard, folders, members, features) for shard in make_shards(exp / "features" / "train")]
    parallel(write_shard, jobs, one_net_at_a_time(config.run), what="soft targets", unit="shards")
    for temperature, step in pending.items():
        store = SoftTargetStore.open(step.folder)
        # Not all that lies there: a writer that was killed may have left a temporary file.
        step.finish([CARD, *(shard.path.name for shard in store.shards)])
        print(
            f"T = {temperature:g}: soft targets of {len(store)} utterances by {len(members)} members, "
            f"{f'the {store.top_k} most probable of' if store.top_k else 'all'} {store.num_pdfs} pdfs in each frame",
            flush=True,
        )
