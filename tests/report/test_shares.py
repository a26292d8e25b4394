import math

import pytest

from asrkd.report import paper
from asrkd.report.shares import share_kept, spread


def test_the_paper_keeps_86_percent_and_closes_87() -> None:
    kept = share_kept(paper.BASELINE.frame_accuracy, paper.STUDENT.frame_accuracy, paper.ENSEMBLE.frame_accuracy, None)
    assert kept.percent == pytest.approx(100 * 1.9 / 2.2)
    assert round(kept.percent or 0) == 86
    closed = share_kept(paper.HARD.test_accuracy, paper.SOFT.test_accuracy, paper.ALL_HARD.test_accuracy, None)
    assert closed.percent == pytest.approx(100 * 12.5 / 14.4)
    assert round(closed.percent or 0) == 87


def test_spread_is_that_of_a_sample() -> None:
    assert spread([50.0, 51.0, 52.0]).mean == 51
    assert spread([50.0, 51.0, 52.0]).sd == pytest.approx(1.0)
    assert spread([50.0]).sd is None


def test_share_with_its_spread() -> None:
    share = share_kept(47.0, 49.4, 50.0, 1.0)
    assert share.percent == pytest.approx(80.0)
    assert share.spread == pytest.approx(100 / 3)
    assert share.why == ""


def test_share_of_a_loss_that_should_fall() -> None:
    assert share_kept(2.0, 1.8, 1.7, 0.1, higher_is_better=False).percent == pytest.approx(200 / 3)
    assert share_kept(2.0, 2.1, 1.7, 0.1, higher_is_better=False).percent == pytest.approx(-100 / 3)


@pytest.mark.parametrize(
    ("lower", "upper", "sd", "higher_is_better", "why"),
    [
        (47.0, 47.0, None, True, "no gain"),
        (47.0, 46.0, 0.1, True, "no gain"),
        (1.7, 2.0, 0.1, False, "no gain"),
        (47.0, 48.9, 1.0, True, "within 2 standard deviations"),
        (47.0, 49.0, 1.0, True, "within 2 standard deviations"),
        (47.0, math.inf, 1.0, True, "not finite"),
        (math.nan, 47.0, 1.0, True, "not finite"),
    ],
)
def test_no_share_of_a_gain_that_is_none_or_noise(
    lower: float, upper: float, sd: float | None, higher_is_better: bool, why: str
) -> None:
    share = share_kept(lower, 48.0, upper, sd, higher_is_better=higher_is_better)
    assert share.percent is None
    assert share.spread is None
    assert why in share.why
