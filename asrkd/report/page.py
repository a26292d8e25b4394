"""The HTML page: one file with its figures, for wide and narrow, light and dark screens, that fetches nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from asrkd.corpus.left_out import LeftOut
from asrkd.report.plots import Bar, Curve, bars, training_curves
from asrkd.report.scores import Score, Scores
from asrkd.report.shares import spread
from asrkd.report.tables import Table
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
    drawn.append(bars(_accuracies(scores), "Frame accuracy on dev", "percent of the frames (strokes: the members)"))
    drawn.append(bars(_wers(scores), "Word error rate on test", "percent of the words, with 95 % intervals"))
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
    runs = [member.dev.frame_accuracy for member in scores.members]
    mean = spread(runs)
    rows = [Bar(_baseline(scores), "member", mean.mean, points=runs)]
    return rows + [Bar(_label(s), _role(s), s.dev.frame_accuracy) for s in _single(scores)]


def _wers(scores: Scores) -> list[Bar]:
    runs = [member.test.wer for member in scores.members]
    rows = [Bar(_baseline(scores), "member", spread(runs).mean, *scores.baseline_interval, runs)]
    return rows + [Bar(_label(s), _role(s), s.test.wer, *s.test.interval) for s in _single(scores)]


def _baseline(scores: Scores) -> str:
    return f"baseline, mean of {len(scores.members)}"


def _label(score: Score) -> str:
    """Short enough to stand beside a drawing."""
    if score.system.kind != "limited":
        return score.system.label
    targets, _, share = score.system.name.partition("-")
    return f"{share} %, {targets} targets"


def _single(scores: Scores) -> list[Score]:
    return [score for score in scores.all() if score.system.kind != "member"]


def _role(score: Score) -> str:
    kind = score.system.kind
    return score.system.name.partition("-")[0] if kind == "limited" else kind
