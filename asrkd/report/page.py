"""The HTML page: one file with its figures, for wide and narrow, light and dark screens, that fetches nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from asrkd.corpus.left_out import LeftOut
from asrkd.report.plots import Bar, Curve, bars, training_curves
from asrkd.report.scores import Score, Scores
from asrkd.report.shares import spread
from asrkd.report.table import Table
from asrkd.report.utterances import Example


@dataclass(frozen=True)
class Fact:
    """One of the large figures at the top of the page."""

    value: str
    name: str
    paper: str


def figures(scores: Scores, curves: Sequence[Curve]) -> list[str]:
    """SVG elements: training curves on all of the data and on shares of it, frame accuracy on dev, WER on test."""
    whole = [curve for curve in curves if curve.role in ("member", "student")]
    limited = [curve for curve in curves if curve.role in ("hard", "soft")]
    drawn = [training_curves(whole, "All of the data")]
    if limited:
        drawn.append(training_curves(limited, "A share of the data"))
    strokes = ""
    if max(len(scores.members), len(scores.runs)) > 1:
        strokes = f"; strokes: {'the members' if len(scores.runs) == 1 else 'single runs'}"
    drawn.append(bars(_accuracies(scores), "Frame accuracy on dev", f"percent of the frames{strokes}"))
    drawn.append(bars(_wers(scores), "Word error rate on test", f"percent of the words, 95 % intervals{strokes}"))
    return drawn


def page(
    *,
    title: str,
    lead: str,
    headline: Sequence[Fact],
    figures: Sequence[str],
    tables: Sequence[Table],
    examples: Sequence[Example],
    sounds: Mapping[str, str | LeftOut],
    run_tables: Sequence[Table],
    config: str,
) -> str:
    """The whole document. `figures` are SVG elements of `asrkd.report.plots`; all other text is escaped. `sounds` are
    those of `asrkd.report.audio`, of each of the `examples`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asrkd.report", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("page.html.j2")
    return template.render(
        title=title,
        lead=lead,
        headline=headline,
        figures=[Markup(figure) for figure in figures],
        tables=tables,
        examples=examples,
        sounds=sounds,
        run_tables=run_tables,
        config=config,
        cell_class=_cell_class,
    )


def _cell_class(table: Table, column: int) -> Markup:
    if column < table.texts:
        return Markup(' class="words"')
    return Markup(' class="paper"' if table.columns[column] == "paper" else "")


def _accuracies(scores: Scores) -> list[Bar]:
    return [_bar(row, [run.dev.frame_accuracy for run in row.runs]) for row in _drawn(scores)]


def _wers(scores: Scores) -> list[Bar]:
    return [_bar(row, [run.test.wer for run in row.runs], *(row.interval or ())) for row in _drawn(scores)]


@dataclass(frozen=True)
class _Drawn:
    """A system, or the mean of several that differ in their seed."""

    label: str
    role: str
    runs: list[Score]
    interval: tuple[float, float] | None  # of the WER on test


def _drawn(scores: Scores) -> list[_Drawn]:
    def single(score: Score) -> _Drawn:
        return _Drawn(_label(score), _role(score), [score], score.test.interval)

    count = len(scores.runs)
    student = _label(scores.runs[0]) + (f", mean of {count}" if count > 1 else "")
    return [
        _Drawn(f"baseline, mean of {len(scores.members)}", "member", scores.members, scores.baseline_interval),
        single(scores.ensemble),
        _Drawn(student, "student", scores.runs, scores.runs_interval),
        *map(single, scores.students[1:]),
        *(single(score) for pair in scores.limited.values() for score in pair),
    ]


def _bar(row: _Drawn, values: list[float], low: float | None = None, high: float | None = None) -> Bar:
    return Bar(row.label, row.role, spread(values).mean, low, high, values if len(values) > 1 else [])


def _label(score: Score) -> str:
    """Short enough to stand beside a drawing."""
    if score.system.kind != "limited":
        return score.system.label
    targets, _, share = score.system.name.partition("-")
    return f"{share} %, {targets} targets"


def _role(score: Score) -> str:
    kind = score.system.kind
    return score.system.name.partition("-")[0] if kind == "limited" else kind
