"""Models to train as parallel jobs, each with a folder and a stamp of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from asrkd.config import Config
from asrkd.experiment import Step, identity
from asrkd.parallel import parallel
from asrkd.torchrun import rank, world
from asrkd.train.training import Training, training_settings


def train_models(exp: Path, config: Config, trainings: Sequence[Training], made_by: str, force: bool) -> None:
    """Train those that are not finished, one a core; a lone one takes all cores.

    Under torchrun one after the other, each by all of its processes. Raises UserError when an input is missing or a
    loss is no longer finite.
    """
    inputs = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", "dev")}
    inputs["align"] = identity(exp / "align", "stage 3")
    steps = [_step(exp, training.config or config, training, inputs, made_by, force) for training in trainings]
    if world() > 1:
        from asrkd.train import ranks
        from asrkd.train.device import choose_device
        from asrkd.train.job import train

        with ranks.joined(choose_device(config.run.device)):
            for training, step in zip(trainings, steps, strict=True):
                if ranks.from_first(rank() == 0 and step.begin()):
                    train(exp, training.config or config, training, step)
        return
    jobs = [
        (exp, training.config or config, training, step)
        for training, step in zip(trainings, steps, strict=True)
        if step.begin()
    ]
    if jobs:
        # Only now: they import torch, which takes seconds, and where nothing is to be done none are wanted.
        from asrkd.train.device import one_net_at_a_time
        from asrkd.train.job import train

        # Threads decide the last bit of a sum: a model of several is trained on one, also when it is the last to train.
        parallel(train, jobs, one_net_at_a_time(config.run), what=made_by, unit="models", lone=len(trainings) == 1)


def _step(exp: Path, config: Config, training: Training, inputs: Mapping[str, str], made_by: str, force: bool) -> Step:
    folders = training.target_folders(config.train.speeds) if training.hard_weight < 1 else []
    soft = {folder: identity(exp / folder, "stage 5") for folder in folders}
    return Step(
        exp / "models" / training.name,
        made_by=made_by,
        config=training_settings(config, training),
        inputs={**inputs, **soft},
        force=force,
    )
