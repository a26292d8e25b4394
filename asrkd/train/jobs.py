"""Models to train as parallel jobs, each with a folder and a stamp of its own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.experiment import Step, identity, read_json
from asrkd.parallel import parallel
from asrkd.train import ranks
from asrkd.train.checkpoint import CHECKPOINT
from asrkd.train.data import FrameData
from asrkd.train.device import choose_device, one_net_at_a_time
from asrkd.train.loop import train_model

OUTPUTS = ("model.safetensors", "card.json")  # not the curves: they hold times, which differ from run to run


@dataclass(frozen=True)
class Training:
    """A model of EXP/models, and in what it differs from the others."""

    name: str
    seed: int
    hard_weight: float = 1.0
    temperature: float = 1.0  # unless hard_weight is 1, the soft targets of that temperature are needed
    utterances: tuple[str, ...] | None = None  # train on these alone; None is all
    about: Mapping[str, Any] = field(default_factory=dict)  # more for the stamp and the card: the share of the data


def targets_name(temperature: float) -> str:
    """The folder of the soft targets in the experiment."""
    return f"targets/train-T{temperature:g}"


def train_models(exp: Path, config: Config, trainings: Sequence[Training], made_by: str, force: bool) -> None:
    """Train those that are not finished, one a core; a lone one takes all cores.

    Under torchrun one after the other, each by all of its processes. Raises UserError when an input is missing or a
    loss is no longer finite.
    """
    inputs = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", "dev")}
    inputs["align"] = identity(exp / "align", "stage 3")
    steps = [_step(exp, config, training, inputs, made_by, force) for training in trainings]
    if ranks.world() > 1:
        with ranks.joined(choose_device(config.run.device)):
            for training, step in zip(trainings, steps, strict=True):
                if ranks.from_first(ranks.rank() == 0 and step.begin()):
                    _train(exp, config, training, step)
        return
    jobs = [(exp, config, training, step) for training, step in zip(trainings, steps, strict=True) if step.begin()]
    if jobs:
        # Threads decide the last bit of a sum: a model of several is trained on one, also when it is the last to train.
        parallel(_train, jobs, one_net_at_a_time(config.run), what=made_by, unit="models", lone=len(trainings) == 1)


def _step(exp: Path, config: Config, training: Training, inputs: Mapping[str, str], made_by: str, force: bool) -> Step:
    targets = targets_name(training.temperature)
    soft = {targets: identity(exp / targets, "stage 5")} if training.hard_weight < 1 else {}
    tail = section(config, "distill.tail") if soft else {}
    return Step(
        exp / "models" / training.name,
        made_by=made_by,
        config={
            **section(config, "model", "train"),
            **tail,
            "seed": training.seed,
            "hard_weight": training.hard_weight,
            "temperature": training.temperature,
            **training.about,
        },
        inputs={**inputs, **soft},
        force=force,
    )


def _train(exp: Path, config: Config, training: Training, step: Step) -> None:
    step.started = time.monotonic()  # the wait for a core is no training
    label_set = read_json(exp / "align" / "label_set.json")
    train = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, training.utterances)
    dev = FrameData.open(exp / "features" / "dev", exp / "align" / "dev", config.model)
    targets = None
    if training.hard_weight < 1:
        counts = {train.ids[u]: train.frames_of(u) for u in train.utterances()}
        targets = _open_targets(
            exp / targets_name(training.temperature), label_set["hash"], step.inputs["features/train"], counts
        )
    train_model(
        step.folder,
        train,
        dev,
        DistillationLoss(training.temperature, training.hard_weight, config.distill.tail),
        targets,
        num_pdfs=label_set["num_pdfs"],
        model_config=config.model,
        config=config.train,
        seed=training.seed,
        device=choose_device(config.run.device),
        card={"label_set": label_set["hash"], "inputs": step.inputs, "frames": len(train), **training.about},
    )
    if ranks.rank() == 0:
        step.finish(OUTPUTS)
        (step.folder / CHECKPOINT).unlink(missing_ok=True)
    ranks.wait_for_all()


def _open_targets(folder: Path, label_set: str, features: str, frames: Mapping[str, int]) -> SoftTargetStore:
    """All of it read once. Raises UserError when it is damaged or not of these labels, features and frame counts."""
    try:
        return SoftTargetStore.open(folder, label_set=label_set, features=features, frames=frames, verify=True)
    except UserError as error:
        # Its stamp says "finished" and may fit all the same, hence --force.
        raise UserError(f"{error} (run.sh --stage 5 --stop-stage 5 --force)") from None
