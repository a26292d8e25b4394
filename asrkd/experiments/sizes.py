"""Smaller nets, taught by labels and by the ensemble: what a net of each size gets out of either."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, ModelConfig
from asrkd.experiment import identity
from asrkd.experiments.frames import measure_models
from asrkd.experiments.result import Options, Result, run_experiment, shortened
from asrkd.models.dnn import load_model
from asrkd.report.figures import Lines, Series
from asrkd.report.made_with import expect_targets
from asrkd.report.table import Table
from asrkd.report.tables import HARD_AND_SOFT, kept_epoch
from asrkd.train.jobs import train_models
from asrkd.train.students import expect_soft_targets, student_config
from asrkd.train.training import Training, at_speed, targets_name

NAME = "sizes"
KINDS = ("hard", "soft")


@dataclass(frozen=True)
class Size:
    layers: int
    width: int

    def model(self, place: str, kind: str) -> str:
        return f"{place}/{kind}-{self.layers}x{self.width}"


def sizes(model: ModelConfig, quick: bool) -> list[Size]:
    """The members' size, its width halved once and twice, its depth halved."""
    layers, width = model.hidden_layers, model.hidden_size
    found = [Size(layers, width), Size(layers, width // 2), Size(layers, width // 4), Size(layers // 2, width)]
    found = [size for size in dict.fromkeys(found) if size.width]
    return found[:2] if quick else found


def vary_size(exp: Path, config: Config, options: Options) -> None:
    """At each size a net trained as the members are and one trained as the students are, on stage 5's first targets."""
    expect_soft_targets(config, f"experiment {NAME}")
    config = shortened(config, options)
    targets = targets_name(config.distill.temperatures[0])
    folders = [at_speed(targets, speed) for speed in config.distill.speeds]
    inputs = {folder: identity(exp / folder, "stage 5") for folder in folders}
    expect_targets(exp, config)
    tried, place = sizes(config.model, options.quick), options.place(NAME)

    def work() -> Result:
        trainings = [_training(config, size, place, kind) for size in tried for kind in KINDS]
        train_models(exp, config, trainings, f"experiment {NAME}", options.force)
        found = measure_models(exp, config, [training.name for training in trainings])
        rows: list[dict[str, Any]] = []
        for size in tried:
            row: dict[str, Any] = {"layers": size.layers, "width": size.width}
            net, _ = load_model(exp / "models" / size.model(place, "hard"))
            row["parameters"] = sum(weight.numel() for weight in net.parameters())
            for (name, split), own in found.items():
                for kind in KINDS:
                    if name == size.model(place, kind):
                        row[f"{kind}_{split}_accuracy"] = own.accuracy
                        row[f"{kind}_{split}_cross_entropy"] = own.cross_entropy
            rows.append(row)
        rows.sort(key=lambda row: -row["parameters"])
        return Result(rows, [_table(rows, config)], [_curve(rows)])

    run_experiment(exp, config, NAME, options, work, inputs=inputs)


def _training(config: Config, size: Size, place: str, kind: str) -> Training:
    """Both start from the same weights."""
    seed, distill = config.distill.seed, config.distill
    own = replace(distill, hidden_layers=0, hidden_size=0)  # of the size given here alone
    sized = replace(config, model=replace(config.model, hidden_layers=size.layers, hidden_size=size.width), distill=own)
    if kind == "hard":
        return Training(size.model(place, kind), seed, config=sized)
    student = student_config(sized)
    name = size.model(place, kind)
    return Training(name, seed, distill.hard_weight, distill.temperatures[0], config=student)


def _table(rows: list[dict[str, Any]], config: Config) -> Table:
    columns = ["Layers x units", "Parameters", "Hard dev", "Soft dev", "Hard test", "Soft test"]
    columns += ["Cross-entropy hard test", "Soft test"]
    cells = [
        [f"{row['layers']} x {row['width']}", f"{row['parameters']:,}"]
        + [f"{row[f'{kind}_{split}_accuracy']:.1f}" for split in ("dev", "test") for kind in KINDS]
        + [f"{row[f'{kind}_test_cross_entropy']:.2f}" for kind in KINDS]
        for row in rows
    ]
    soft = "stage 5's targets alone" if config.distill.hard_weight == 0 else "stage 5's targets too"
    notes = [
        f"Frame accuracy in percent, cross-entropy in nats a frame. Hard: labels alone; soft: {soft}. "
        f"Both from the same start, one seed; each is measured at {kept_epoch(config)}.",
        HARD_AND_SOFT,
    ]
    return Table(NAME, "Smaller students", columns, cells, notes)


def _curve(rows: list[dict[str, Any]]) -> Lines:
    rising = rows[::-1]
    series = [
        Series(
            f"{kind} targets",
            kind,
            [row["parameters"] for row in rising],
            [row[f"{kind}_dev_accuracy"] for row in rising],
        )
        for kind in KINDS
    ]
    return Lines("Accuracy by size", "parameters", "frame accuracy on dev, %", series, log_x=True)
