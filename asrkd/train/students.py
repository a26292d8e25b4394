"""Stage 6: a student of the members' shape for every temperature."""

from dataclasses import replace
from pathlib import Path

from asrkd.config import Config
from asrkd.experiment import read_json
from asrkd.systems import student_name
from asrkd.train.jobs import Training, train_models


def train_students(exp: Path, config: Config, force: bool = False) -> None:
    """Train EXP/models/student-T2, ... on the labels of stage 3 and the soft targets of stage 5.

    All have the same seed, so that they differ in the temperature alone. Raises UserError when an input is missing or
    a loss is no longer finite.
    """
    students = [
        Training(student_name(temperature), config.distill.seed, config.distill.hard_weight, temperature)
        for temperature in config.distill.temperatures
    ]
    own = replace(
        config,
        model=replace(config.model, dropout=config.distill.dropout),
        train=replace(config.train, epochs=config.distill.epochs, weight_decay=config.distill.weight_decay),
    )
    train_models(exp, own, students, "stage 6", force)
    for student in students:
        card = read_json(exp / "models" / student.name / "card.json")
        print(f"{student.name}: dev frame accuracy {card['dev_accuracy']:.2f} %", flush=True)
