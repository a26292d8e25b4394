"""The experiments that EXP has beside the stages, as `asrkd experiment` left them: their tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.errors import UserError
from asrkd.files import hash_file, read_json
from asrkd.progress import duration
from asrkd.report.facts import without_folders
from asrkd.report.figures import HeatMap, Lines, Series
from asrkd.report.scores import Scores
from asrkd.report.tables import Table


@dataclass(frozen=True)
class Experiment:
    name: str
    command: str
    rows: list[dict[str, Any]]  # what was measured
    tables: list[Table]
    lines: list[Lines]
    heat_maps: list[HeatMap]


def experiment_hashes(exp: Path) -> dict[str, str]:
    """What the report depends on: file -> hash."""
    return {f"experiments/{path.name}": hash_file(path) for path in _files(exp)}


def read_experiments(exp: Path) -> list[Experiment]:
    """Raises UserError when a file is no result of an experiment."""
    return [_read(path) for path in _files(exp)]


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


def _files(exp: Path) -> list[Path]:
    return sorted((exp / "experiments").glob("*.json"))


def _read(path: Path) -> Experiment:
    value = without_folders(read_json(path))
    try:
        tables = [Table(**table) for table in value["tables"]]
        made = f"{value['command']}, {duration(value['seconds'])}, commit {value['commit'] or 'unknown'}."
        for table in tables:
            table.notes.append(made)
        lines = [Lines(**{**own, "series": [Series(**row) for row in own["series"]]}) for own in value["lines"]]
        heat_maps = [HeatMap(**own) for own in value["heat_maps"]]
        return Experiment(value["name"], value["command"], value["rows"], tables, lines, heat_maps)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the result of an experiment, found {error!r}; delete it, or run the experiment again"
        ) from None
