"""Stage 6: a student for every temperature, or several for the first, of the members' shape or of one of their own."""

from dataclasses import replace
from pathlib import Path

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.systems import student_name, student_runs
from asrkd.train.jobs import train_models
from asrkd.train.training import Training


def train_students(exp: Path, config: Config, force: bool = False) -> None:
    """Train EXP/models/student-T2, ... on the labels of stage 3 and the soft targets of stage 5.

    Those of different temperatures have the same seed, so that they differ in the temperature alone, and those of one
    temperature differ in their seed alone. Raises UserError when an input is missing or a loss is no longer finite.
    """
    trained = students(config)
    train_models(exp, config, trained, "stage 6", force)
    for student in trained:
        card = read_json(exp / "models" / student.name / "card.json")
        print(f"{student.name}: dev frame accuracy {card['dev_accuracy']:.2f} %", flush=True)


def students(config: Config) -> list[Training]:
    seed, weight, own = config.distill.seed, config.distill.hard_weight, student_config(config)
    return [
        Training(student_name(temperature, run), seed + run - 1, weight, temperature, config=own)
        for temperature, run in student_runs(config)
    ]


def student_config(config: Config) -> Config:
    """The config whose model and train are the students'."""
    own = config.distill
    model = replace(
        config.model,
        hidden_layers=own.hidden_layers or config.model.hidden_layers,
        hidden_size=own.hidden_size or config.model.hidden_size,
        dropout=own.dropout,
    )
    train = replace(
        config.train,
        optimizer=own.optimizer,
        learning_rate=own.learning_rate or config.train.learning_rate,
        weight_decay=own.weight_decay,
        epochs=own.epochs,
        speeds=own.speeds,
    )
    return replace(config, model=model, train=train)


def expect_soft_targets(config: Config, what: str) -> None:
    """Raises UserError where the config's students have no soft targets, so that `what` could say nothing of them."""
    if config.distill.hard_weight == 1:
        raise UserError(
            f"{what}: expected students with soft targets, found distill.hard_weight=1, labels alone; set a lower "
            "distill.hard_weight"
        )
