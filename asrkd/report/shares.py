"""How much of a gain is kept: the two shares by which the paper's result is compared with ours.

Both are the place of a value between a lower and an upper one: the student between baseline and ensemble (how much of
the ensemble's gain it keeps), and soft targets on few data between hard targets on the same data and the baseline on
all of it (how much of the gap they close).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NOISE = 2.0  # a gain below so many standard deviations of one training run is no ground for a share


@dataclass(frozen=True)
class Share:
    percent: float | None  # None where the gain is too small to be divided by; `why` says so
    spread: float | None  # points by which one standard deviation of a training run moves it; None for lack of reruns
    why: str = ""


@dataclass(frozen=True)
class Spread:
    """Of the same measure over training runs that differ in their seed."""

    mean: float
    sd: float | None  # of a sample (n - 1); None for a single run


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def share_kept(lower: float, value: float, upper: float, sd: float | None, *, higher_is_better: bool = True) -> Share:
    """100 * (value - lower) / (upper - lower).

    Without a percentage when the whole gain, upper - lower, is not positive or lies within `NOISE` standard deviations
    (`sd`, of one training run). `higher_is_better=False` is for cross-entropy and word error rate.
    """
    gain = upper - lower if higher_is_better else lower - upper
    if not math.isfinite(gain) or not math.isfinite(value):
        return Share(None, None, "a value is not finite")
    if gain <= 0:
        return Share(None, None, f"there is no gain to share: it is {gain:.3g}")
    if sd is not None and gain <= NOISE * sd:
        return Share(
            None, None, f"the gain, {gain:.3g}, is within {NOISE:g} standard deviations ({sd:.2g} each) of a run"
        )
    return Share(100 * (value - lower) / (upper - lower), None if sd is None else 100 * sd / gain)
