"""Models to train as parallel jobs, each with a folder and a stamp of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.experiment import Step, identity
from asrkd.parallel import parallel
from asrkd.torchrun import rank, world


@dataclass(frozen=True)
class Training:
    """A model of EXP/models, and in what it differs from the others."""

    name: str
    seed: int
    hard_weight: float = 1.0
    temperature: float = 1.0  # unless hard_weight is 1, the soft targets of that temperature are needed
    utterances: tuple[str, ...] | None = None  # train on these alone; None is all
    about: Mapping[str, Any] = field(default_factory=dict)  # more for the stamp and the card: the share of the data
    targets: str = ""  # the folder of the soft targets, in place of the temperature's own, at speed 1
    config: Config | None = None  # whose model and train are this one's, in place of the experiment's

    def target_folders(self, speeds: Sequence[float]) -> list[str]:
        """Those of the soft targets of each speed."""
        return [at_speed(self.targets or targets_name(self.temperature), speed) for speed in speeds]


def targets_name(temperature: float) -> str:
    """The folder of the soft targets in the experiment."""
    return f"targets/train-T{temperature:g}"


def at_speed(folder: str, speed: float) -> str:
    """The folder of the same targets where the teachers hear the frames at this speed."""
    return folder if speed == 1 else f"{folder}-x{speed:g}"


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


def training_settings(config: Config, training: Training) -> dict[str, Any]:
    """What a model's stamp says that it was trained with. config: whose model and train are the training's."""
    return {
        **section(config, "model", "train"),
        **(section(config, "distill.tail") if training.hard_weight < 1 else {}),
        "seed": training.seed,
        "hard_weight": training.hard_weight,
        "temperature": training.temperature,
        **training.about,
    }
