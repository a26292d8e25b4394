"""The figures of section 3, and the large figures at the top of the page."""

from asrkd.config import Config
from asrkd.mnist.nets import PLAIN, STUDENT, small_config
from asrkd.mnist.tables import Scores, errors_of, runs_text, sweep_names, whole_sets
from asrkd.report.page import Fact
from asrkd.report.plots import Bar, bars
from asrkd.report.shares import spread

ROLES = {"large": "ensemble", PLAIN: "hard", STUDENT: "student"}  # the colours of their like in the speech report
SHORT = {"large": "large net", PLAIN: "hard targets", STUDENT: "soft targets"}
AXIS = "errors on the test images (strokes: the runs)"


def headline(config: Config, scores: Scores) -> list[Fact]:
    return [
        Fact(runs_text(errors_of(scores, names)), f"test errors: {label}", f"paper: {theirs}")
        for label, names, theirs in whole_sets(config).values()
    ]


def figures(config: Config, scores: Scores) -> list[str]:
    """SVG elements: the nets, then the temperatures of each size."""
    rows = [
        _bar(SHORT[kind], ROLES[kind], errors_of(scores, names)) for kind, (_, names, _) in whole_sets(config).items()
    ]
    drawn = [bars(rows, "Large net, small nets", AXIS)]
    layers = small_config(config).model.hidden_layers
    for size in config.mnist.sweep_sizes:
        rows = [
            _bar(f"T = {temperature:g}", "student", errors_of(scores, sweep_names(config, size, temperature)))
            for temperature in config.mnist.sweep_temperatures
        ]
        drawn.append(bars(rows, f"Students of {layers} x {size}", AXIS))
    return drawn


def _bar(label: str, role: str, errors: list[int]) -> Bar:
    return Bar(label, role, spread(errors).mean, points=errors)
