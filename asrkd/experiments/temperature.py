"""Which temperature, which weight of the hard labels, which mean over the teachers, how many pdfs of a frame: students
of one seed that differ in these alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, DistillConfig
from asrkd.experiments.frames import measure_models
from asrkd.experiments.result import Options, Result, run_experiment, shortened
from asrkd.files import read_json
from asrkd.report.figures import HeatMap
from asrkd.report.table import Table
from asrkd.report.tables import kept_epoch
from asrkd.train.folds import Group, target_groups, teacher_identities
from asrkd.train.jobs import train_models
from asrkd.train.soft_targets import write_targets
from asrkd.train.students import expect_soft_targets, student_config
from asrkd.train.training import TargetKind, Training

NAME = "temperature"
TEMPERATURES = (1.0, 2.0, 5.0, 10.0)  # the paper's for speech
HARD_WEIGHTS = (0.0, 0.1, 0.5)
QUICK_TEMPERATURES = (1.0,)
QUICK_WEIGHTS = (0.0,)


@dataclass(frozen=True)
class Point:
    temperature: float
    hard_weight: float
    mean: str  # over the teachers: arithmetic or geometric
    top_k: int  # pdfs of a frame; 0 is all of them

    def model(self, place: str) -> str:
        return f"{place}/{self.mean}-k{self.top_k}-T{self.temperature:g}-w{self.hard_weight:g}"

    def targets(self, place: str) -> str:
        return f"targets/{place}/{self.mean}-k{self.top_k}-T{self.temperature:g}"


def vary_temperature(exp: Path, config: Config, options: Options) -> None:
    """A student for each temperature and weight, one of the geometric mean and one of the other form of targets, both
    at the config's first temperature and its weight. Dev decides; the chosen one is measured on test too."""
    expect_soft_targets(config, f"experiment {NAME}")
    config = shortened(config, options, students_alone=True)
    tried, place = points(config.distill, options.quick), options.place(NAME)
    folders = sorted({point.targets(place) for point in tried})
    groups = target_groups(exp, config)
    run_experiment(
        exp,
        config,
        NAME,
        options,
        lambda: _train(exp, config, groups, tried, place, options.force),
        inputs=teacher_identities(exp, groups),
        targets=folders,
    )


def points(distill: DistillConfig, quick: bool) -> list[Point]:
    """The config's own temperature and weight are among them."""
    own = Point(distill.temperatures[0], distill.hard_weight, "arithmetic", distill.top_k)
    temperatures = sorted({*(QUICK_TEMPERATURES if quick else TEMPERATURES), own.temperature})
    weights = sorted({*(QUICK_WEIGHTS if quick else HARD_WEIGHTS), own.hard_weight})
    grid = [replace(own, temperature=t, hard_weight=weight) for t in temperatures for weight in weights]
    other_form = 0 if distill.top_k else DistillConfig().top_k
    return [*grid, replace(own, mean="geometric"), replace(own, top_k=other_form)]


def _train(
    exp: Path, config: Config, groups: Sequence[Group], tried: Sequence[Point], place: str, force: bool
) -> Result:
    # Points that differ in the weight of the hard labels have the same targets.
    kinds = dict.fromkeys(TargetKind(p.targets(place), p.temperature, p.top_k, p.mean) for p in tried)
    write_targets(exp, config, list(kinds), groups, f"experiment {NAME}", force)
    names = [point.model(place) for point in tried]
    students = [
        Training(name, config.distill.seed, p.hard_weight, p.temperature, targets=p.targets(place))
        for name, p in zip(names, tried, strict=True)
    ]
    train_models(exp, student_config(config), students, f"experiment {NAME}", force)
    cards = [read_json(exp / "models" / name / "card.json") for name in names]
    rows = [
        {**asdict(p), "dev_accuracy": card["dev_accuracy"], "dev_cross_entropy": card["dev_cross_entropy"]}
        for p, card in zip(tried, cards, strict=True)
    ]
    best = max(range(len(tried)), key=lambda number: float(rows[number]["dev_accuracy"]))
    test = measure_models(exp, config, [names[best]])[names[best], "test"]
    rows[best] |= {"test_accuracy": test.accuracy, "test_cross_entropy": test.cross_entropy}
    return Result(rows, [_table(rows, rows[best], config)], heat_maps=[_heat_map(rows, config.distill.top_k)])


def _table(rows: Sequence[dict[str, Any]], best: dict[str, Any], config: Config) -> Table:
    columns = ["Mean", "Pdfs kept", "T", "Hard weight", "Frame accuracy dev", "Cross-entropy dev"]
    cells = [
        [
            row["mean"],
            str(row["top_k"] or "all"),
            f"{row['temperature']:g}",
            f"{row['hard_weight']:g}",
            f"{row['dev_accuracy']:.2f}",
            f"{row['dev_cross_entropy']:.3f}",
        ]
        for row in rows
    ]
    notes = [
        f"Students of one seed and of {config.distill.epochs} epochs, each measured at {kept_epoch(config)}.",
        f"Highest on dev: {best['mean']} mean, {best['top_k'] or 'all'} pdfs, T = {best['temperature']:g}, hard weight "
        f"{best['hard_weight']:g}. Test: {best['test_accuracy']:.2f} % of the frames, cross-entropy "
        f"{best['test_cross_entropy']:.3f}.",
    ]
    if top_k := config.distill.top_k:
        notes.append(f"The higher T is, the more of the mass {top_k} pdfs lack: these rows show both.")
    return Table(NAME, "Temperature and weight of the hard labels", columns, cells, notes)


def _heat_map(rows: Sequence[dict[str, Any]], top_k: int) -> HeatMap:
    grid = {
        (row["temperature"], row["hard_weight"]): float(row["dev_accuracy"])
        for row in rows
        if (row["mean"], row["top_k"]) == ("arithmetic", top_k)
    }
    temperatures, weights = sorted({t for t, _ in grid}), sorted({weight for _, weight in grid})
    return HeatMap(
        title="Frame accuracy on dev by temperature and hard weight, %",
        row_axis="temperature",
        column_axis="weight of the hard labels",
        rows=[f"{t:g}" for t in temperatures],
        columns=[f"{weight:g}" for weight in weights],
        values=[[grid[t, weight] for weight in weights] for t in temperatures],
    )
