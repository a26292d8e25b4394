"""Values as cells of a table."""

from collections.abc import Sequence

from asrkd.report.shares import Share, Spread
from asrkd.score.summary import Interval

NONE = "–"  # no value: the notes of the table say why, or there is none in the paper


def interval_text(interval: Interval | None) -> str:
    return NONE if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"


def signed_text(interval: Interval | None) -> str:
    return NONE if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"


def probability_text(p: float | None) -> str:
    if p is None:
        return NONE
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def range_text(numbers: Sequence[int]) -> str:
    """Of sorted numbers."""
    return f"{numbers[0]:,}" + ("" if numbers[0] == numbers[-1] else f" to {numbers[-1]:,}")


def spread_text(value: Spread, digits: int) -> str:
    return f"{value.mean:.{digits}f}" + ("" if value.sd is None else f" ± {value.sd:.{digits}f}")


def percent_text(share: Share) -> str:
    return number_text(share.percent, 0, " %")


def share_text(share: Share) -> str:
    if share.percent is None:
        return NONE
    return f"{share.percent:.0f}" + ("" if share.spread is None else f" ± {share.spread:.0f}") + " %"


def number_text(value: float | None, digits: int, unit: str = "") -> str:
    return NONE if value is None else f"{value:.{digits}f}{unit}"
