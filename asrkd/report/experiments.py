"""The experiments that EXP has beside the stages, as `asrkd experiment` left them: their tables and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.decode import scales
from asrkd.errors import UserError
from asrkd.experiment import STAMP, differences
from asrkd.files import hash_file, read_json
from asrkd.progress import duration
from asrkd.report.facts import without_folders
from asrkd.report.figures import HeatMap, Lines, Series
from asrkd.report.scores import Scores
from asrkd.report.table import Table

FOLDER = "experiments"
SECOND_LM = f"lang/{scales.SECOND_LM}"


@dataclass(frozen=True)
class Experiment:
    name: str
    command: str
    inputs: dict[str, str]  # folder in the experiment -> identity
    config: dict[str, Any]  # the sections that it depends on, as they were
    rows: list[dict[str, Any]]  # what was measured
    tables: list[Table]
    lines: list[Lines]
    heat_maps: list[HeatMap]


def experiment_hashes(exp: Path) -> dict[str, str]:
    """What the report depends on: file -> hash. One that was made from other features, labels or models than those that
    are there now is left out, and a line says so.

    Raises UserError when a file is no result of an experiment.
    """
    found = {}
    for path in sorted((exp / FOLDER).glob("*.json")):
        inputs = _read(path).inputs
        if "graph" in inputs:  # its systems were decoded: with this second LM, or without one
            inputs = {SECOND_LM: "", **inputs}
        other = next((name for name, was in inputs.items() if _is_another(exp / name, was)), None)
        if other is None:
            found[f"{FOLDER}/{path.name}"] = hash_file(path)
        else:
            mend = f"asrkd experiment {exp} {path.stem}"
            print(f"the report leaves {path} out: made from another {other} than the one there is; {mend}", flush=True)
    return found


def read_experiments(exp: Path, files: Iterable[str], config: Config) -> list[Experiment]:
    """files: those of `experiment_hashes`. What one was made with that the config has otherwise, its tables say.

    Raises UserError when one is no result of an experiment.
    """
    found = [_read(exp / file) for file in files]
    for experiment in found:
        if other := _made_with(experiment.config, section(config, *experiment.config)):
            for table in experiment.tables:
                table.notes.append(other)
    return found


def share_curves(scores: Scores) -> Lines | None:
    """Accuracy on dev by the share of the data, with hard and with soft targets; None for fewer than two shares."""
    if len(scores.limited) < 2:
        return None
    shares = sorted(scores.limited)
    series = [
        Series(
            f"{kind} targets",
            kind,
            [100 * share for share in shares],
            [scores.limited[share][place].dev.frame_accuracy for share in shares],
        )
        for place, kind in enumerate(("hard", "soft"))
    ]
    axes = "% of the training data", "frame accuracy on dev, %"
    return Lines("Accuracy by the share of the data", *axes, series, log_x=True)


def draw(figures: Sequence[Lines | HeatMap]) -> list[str]:
    """SVG elements."""
    from asrkd.report.plots import heat_map, lines

    return [lines(figure) if isinstance(figure, Lines) else heat_map(figure) for figure in figures]


def read_result(path: Path) -> dict[str, Any]:
    """Raises UserError when the file holds something else than a result. Others' results lie beside it, so that its
    folder is not to be deleted."""
    try:
        value = read_json(path)
    except UserError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected the result of an experiment, found none; delete this file alone")
    return value


def _is_another(path: Path, was: str) -> bool:
    """A folder that was deleted since, to have its room, is none."""
    if path.name == scales.SECOND_LM:
        return (hash_file(path) if path.is_file() else "") != was
    return (path / STAMP).is_file() and read_json(path / STAMP).get("identity") != was


def _made_with(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    differing = differences(was, without_folders(now))
    settings = ", ".join(f"{key}={old}" for key, (old, _) in differing.items())
    return f"Made with {settings}, which the config has otherwise." if settings else ""


def _read(path: Path) -> Experiment:
    value = without_folders(read_result(path))
    try:
        tables = [Table(**table) for table in value["tables"]]
        made = f"{value['command']}, {duration(value['seconds'])}, commit {value['commit'] or 'unknown'}."
        for table in tables:
            table.notes.append(made)
        lines = [Lines(**{**own, "series": [Series(**row) for row in own["series"]]}) for own in value["lines"]]
        heat_maps = [HeatMap(**own) for own in value["heat_maps"]]
        inputs, config = value["made_from"]["inputs"], value["made_from"]["config"]
        return Experiment(value["name"], value["command"], inputs, config, value["rows"], tables, lines, heat_maps)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the result of an experiment, found {error!r}; delete it, or run the experiment again"
        ) from None
