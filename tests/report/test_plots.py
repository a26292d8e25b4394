import re
from xml.etree import ElementTree

import numpy as np
import pytest

from asrkd.report.figures import Lines, Series
from asrkd.report.plots import COLOURS, Bar, Curve, bars, lines, squares, training_curves

ROWS = [Bar("baseline", "member", 50.8, 50.1, 51.2, [50.3, 51.2]), Bar("a < b & c", "student", 52.0)]


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter("text")]


def test_bars_name_every_system_and_its_value() -> None:
    drawn = words(bars(ROWS, "Accuracy", "percent"))
    assert {"baseline", "a < b & c", "50.8", "52.0", "Accuracy", "percent"} <= set(drawn)


def test_curves_name_a_group_once() -> None:
    members = [Curve(f"member-{i}", "member", "members", [1, 2], [50.0, 60.0], [40.0, 45.0]) for i in (1, 2)]
    student = Curve("student-T2", "student", "student, T = 2", [1, 2], [50.0, 55.0], [41.0, 47.0])
    svg = training_curves([*members, student], "All")
    assert words(svg).count("members") == 1
    assert "student, T = 2" in words(svg)
    dashed = re.findall(r"stroke-dasharray", svg)
    assert len(dashed) == 3  # a training curve each


@pytest.mark.parametrize(
    ("x", "ticks"), [([0.5, 6.25, 30], {"0.5", "6.25", "30"}), ([1050, 1570800], {"1.1k", "1.6M"})]
)
def test_a_logarithmic_axis_has_the_points_numbers(x: list[float], ticks: set[str]) -> None:
    series = [Series("hard", "hard", x, [float(place) for place in range(len(x))])]
    assert ticks <= set(words(lines(Lines("By share", "%", "accuracy", series, log_x=True))))


def test_colours_are_the_page_s_and_nothing_is_fetched() -> None:
    svg = bars(ROWS, "Accuracy", "percent")
    assert COLOURS["student"][1] in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace("url(#", ""))
    assert "http" not in svg


def test_a_phone_may_have_any_name() -> None:
    svg = squares(np.eye(2), [r"ts\h", r"s\1"], r"Phones of \g<0>")
    assert {r"ts\h", r"s\1"} <= set(words(svg)) and r'aria-label="Phones of \g&lt;0>: ' in svg


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert bars(ROWS, "Accuracy", "percent") == bars(ROWS, "Accuracy", "percent")


def test_squares_have_areas_that_are_the_shares() -> None:
    svg = squares(np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.08, 0.005, 0.915]]), ["SIL", "AA", "B"], "Phones")
    assert {"SIL", "AA", "B", "Phones", "heard", "labelled"} <= set(words(svg))
    root = ElementTree.fromstring(svg)
    areas = []
    for path in root.iter("path"):
        if COLOURS["student"][1] in (path.get("style") or ""):
            points = [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d") or "")]
            xs, ys = zip(*points, strict=True)
            areas.append((max(xs) - min(xs)) * (max(ys) - min(ys)))
    shares = sorted(area / max(areas) for area in areas)
    assert np.allclose(shares, [0.08, 0.5, 0.5, 0.915, 1.0], rtol=1e-3)  # 0.005 is left out
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace("url(#", ""))
