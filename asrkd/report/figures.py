"""What a figure shows, for those who measure it; `asrkd.report.plots` draws it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    label: str
    role: str  # a key of plots.COLOURS
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Lines:
    title: str
    x_axis: str
    y_axis: str
    series: Sequence[Series]
    log_x: bool = False
    diagonal: bool = False  # where y equals x


@dataclass(frozen=True)
class HeatMap:
    title: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]  # a row each
