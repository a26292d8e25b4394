"""A model to train and soft targets to train it on: what they are, and where they lie in the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asrkd.config import Config, section


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


@dataclass(frozen=True)
class TargetKind:
    """A folder of soft targets, and what they are of the teachers' logits."""

    folder: str  # in the experiment
    temperature: float
    top_k: int  # pdfs kept of a frame; 0 is all
    mean: str = "arithmetic"  # over the teachers, or geometric
    teachers: int | None = None  # the first so many of those that the utterance has; None is all


def targets_name(temperature: float) -> str:
    """The folder of the soft targets in the experiment."""
    return f"targets/train-T{temperature:g}"


def at_speed(folder: str, speed: float) -> str:
    """The folder of the same targets where the teachers hear the frames at this speed."""
    return folder if speed == 1 else f"{folder}-x{speed:g}"


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
