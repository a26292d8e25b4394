"""Timing of functions side by side, and a Markdown table."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def seconds(functions: Mapping[str, Callable[[], object]], repeats: int = 15) -> dict[str, float]:
    """The median of each. They take turns, so that a slow moment of the machine hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(repeats + 2):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if round_number >= 2:  # the first ones warm up
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in taken.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
