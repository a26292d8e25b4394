"""The figures of the page: matplotlib drawings as inline SVG that takes its colours from the page's style sheet.

A drawing uses a stand-in colour for each role; in the SVG the stand-ins become CSS variables, so that one drawing
serves a light and a dark screen. What changes from call to call in matplotlib's SVG (ids, dates) is fixed or taken
out: the same numbers give the same bytes.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from asrkd.report.figures import HeatMap, Lines

# Stand-in colours, all different, and the CSS variables of page.html.j2 that replace them.
COLOURS = {
    "text": ("#010203", "var(--text)"),
    "grid": ("#040506", "var(--line)"),
    "member": ("#070809", "var(--member)"),
    "ensemble": ("#0a0b0c", "var(--ensemble)"),
    "student": ("#0d0e0f", "var(--student)"),
    "hard": ("#101112", "var(--hard)"),
    "soft": ("#131415", "var(--soft)"),
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, readable by machines, in the page's own font
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": COLOURS["text"][0],
    "axes.labelcolor": COLOURS["text"][0],
    "axes.edgecolor": COLOURS["grid"][0],
    "axes.titlesize": 10,
    "xtick.color": COLOURS["grid"][0],
    "ytick.color": COLOURS["grid"][0],
    "xtick.labelcolor": COLOURS["text"][0],
    "ytick.labelcolor": COLOURS["text"][0],
    "grid.color": COLOURS["grid"][0],
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
FAINT = 0.01  # the least share that `squares` draws


@dataclass(frozen=True)
class Curve:
    """The training of one model: frame accuracy in percent after each epoch."""

    label: str
    role: str  # a key of COLOURS
    group: str  # curves of one group are drawn alike and named once
    epochs: Sequence[int]
    train: Sequence[float]
    dev: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """One system's value with the range that is drawn around it; `points` are the runs behind a mean."""

    label: str
    role: str
    value: float
    low: float | None = None
    high: float | None = None
    points: Sequence[float] = ()


def training_curves(curves: Sequence[Curve], title: str) -> str:
    """Train (dashed) and dev (solid) frame accuracy by epoch. The groups of one role differ in their markers."""
    with _style(title):
        figure, axes = _figure(5.2, 3.5)
        markers = _markers(curves)
        named = set()
        for curve in curves:
            many = sum(other.group == curve.group for other in curves) > 1
            style = {"color": COLOURS[curve.role][0], "linewidth": 0.9 if many else 1.8, "marker": markers[curve.group]}
            axes.plot(curve.epochs, curve.train, linestyle="--", markersize=0, **style)  # type: ignore[arg-type]
            label = "_" if curve.group in named else curve.group
            axes.plot(curve.epochs, curve.dev, linestyle="-", markersize=3.5, label=label, **style)  # type: ignore[arg-type]
            named.add(curve.group)
        axes.set_xlabel("epoch")
        axes.set_ylabel("frame accuracy, %")
        axes.set_title(f"{title} (solid: dev, dashed: train as it was learnt)", loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")
        return _svg(figure, f"{title}: frame accuracy of training and dev frames by epoch")


def bars(rows: Sequence[Bar], title: str, axis: str) -> str:
    """A dot a system with its range, from the top down, the value written beside it."""
    with _style(title):
        figure, axes = _figure(5.2, 0.95 + 0.34 * len(rows))
        for place, row in enumerate(rows):
            colour = COLOURS[row.role][0]
            if row.points:
                axes.plot(row.points, [place] * len(row.points), "|", color=colour, markersize=9, markeredgewidth=0.8)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
            axes.plot([row.value], [place], "o", color=colour, markersize=6)
            axes.annotate(
                f"{row.value:.1f}", (row.value, place), (0, 5), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(axis)
        axes.set_title(title, loc="left", x=0)
        described = ", ".join(f"{row.label} {row.value:.1f}" for row in rows)
        return _svg(figure, f"{title}: {described}")


def squares(shares: np.ndarray, names: Sequence[str], title: str) -> str:
    """A matrix (P, P) whose rows sum to 1, as squares whose areas are the shares; those below FAINT are left out."""
    with _style(title):
        figure, axes = _figure(5.2, 5.4)
        drawn = []
        for row, column in np.argwhere(shares >= FAINT):
            side = float(shares[row, column]) ** 0.5
            drawn.append(Rectangle((column - side / 2, row - side / 2), side, side))
        axes.add_collection(PatchCollection(drawn, facecolor=COLOURS["student"][0], edgecolor="none"))
        ends = (-0.6, len(names) - 0.4)
        axes.set_xlim(*ends)
        axes.set_ylim(*reversed(ends))
        axes.set_aspect("equal")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0, labelsize=min(9.0, 240 / len(names)))
        axes.grid(linewidth=0.3)
        axes.set_xlabel("heard")
        axes.set_ylabel("labelled")
        axes.set_title(title, loc="left", x=0)
        described = ", ".join(f"{name} {100 * shares[place, place]:.0f}" for place, name in enumerate(names))
        return _svg(figure, f"{title}: percent of each phone's frames heard as that phone: {described}")


def lines(figure: Lines) -> str:
    with _style(figure.title):
        drawing, axes = _figure(5.2, 3.5)
        if figure.diagonal:
            axes.axline((0, 0), slope=1, color=COLOURS["grid"][0], linewidth=1.0, linestyle="--")
        for series in figure.series:
            axes.plot(series.x, series.y, marker="o", markersize=4, color=COLOURS[series.role][0], label=series.label)
        if figure.log_x:
            axes.set_xscale("log")
            axes.set_xticks(sorted({x for series in figure.series for x in series.x}))
            axes.set_xticks([], minor=True)
            if min(min(series.x) for series in figure.series) >= 1000:
                axes.xaxis.set_major_formatter(EngFormatter(places=1, sep=""))  # 1.6M
            else:
                axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(figure.x_axis)
        axes.set_ylabel(figure.y_axis)
        axes.set_title(figure.title, loc="left")
        axes.legend(loc="best")
        points = (
            f"{series.label}: " + ", ".join(f"{x:g} {y:.1f}" for x, y in zip(series.x, series.y, strict=True))
            for series in figure.series
        )
        return _svg(drawing, f"{figure.title}: {figure.y_axis} by {figure.x_axis}; {'; '.join(points)}")


def heat_map(figure: HeatMap) -> str:
    """The higher a value, the less transparent its square; each has its number in it."""
    values = np.array(figure.values)  # (R, C)
    low, high = values.min(), values.max()
    with _style(figure.title):
        drawing, axes = _figure(5.2, 1.3 + 0.5 * len(figure.rows))
        for (row, column), value in np.ndenumerate(values):
            alpha = 0.08 + 0.5 * (value - low) / (high - low) if high > low else 0.3
            axes.add_patch(
                Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=COLOURS["student"][0], alpha=alpha)
            )
            axes.text(column, row, f"{value:.2f}", ha="center", va="center")
        axes.set_xlim(-0.5, len(figure.columns) - 0.5)
        axes.set_ylim(len(figure.rows) - 0.5, -0.5)
        axes.set_xticks(range(len(figure.columns)), figure.columns)
        axes.set_yticks(range(len(figure.rows)), figure.rows)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_xlabel(figure.column_axis)
        axes.set_ylabel(figure.row_axis)
        axes.set_title(figure.title, loc="left", x=0)
        described = "; ".join(
            f"{name}: " + ", ".join(f"{column} {value:.2f}" for column, value in zip(figure.columns, row, strict=True))
            for name, row in zip(figure.rows, figure.values, strict=True)
        )
        return _svg(drawing, f"{figure.title}: {figure.row_axis} by {figure.column_axis}; {described}")


def _style(title: str) -> AbstractContextManager[None]:
    """`title` salts the ids of clip paths and markers, so that the drawings of a page share none."""
    return matplotlib.rc_context({**STYLE, "svg.hashsalt": title})


def _markers(curves: Sequence[Curve]) -> Mapping[str, str]:
    """A marker for each group, so that groups of the same colour can be told apart."""
    markers: dict[str, str] = {}
    used: dict[str, int] = {}
    for curve in curves:
        if curve.group not in markers:
            markers[curve.group] = "os^Dv"[used.get(curve.role, 0) % 5]
            used[curve.role] = used.get(curve.role, 0) + 1
    return markers


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Figure, description: str) -> str:
    """The drawing as an <svg> element for an HTML page: no XML head, no namespaces, no ids but those referred to."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>|font-family: [^;]*; ", "", svg, flags=re.DOTALL)  # the page has its own
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = svg.replace("xlink:href", "href")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    box = re.search(r'viewBox="[^"]*"', svg)
    if box is None:
        raise ValueError("matplotlib's SVG has no viewBox")
    opening = f'<svg {box.group()} role="img" aria-label="{label}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)  # a backslash in a phone's name is one
    for stand_in, variable in COLOURS.values():
        svg = svg.replace(stand_in, variable)
    return re.sub(r"\n\s*\n", "\n", svg).strip()
