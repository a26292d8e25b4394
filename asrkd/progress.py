"""Progress of long work: a rich bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations  # the k2 interpreter may be Python 3.8

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0
_live: list[Progress] = []  # what is drawn on the terminal: a bar within the work of another is drawn below it


def track(items: Iterable[Item], *, what: str, total: int | None = None, unit: str = "items") -> Iterator[Item]:
    """Yield the items and report what, how far, how fast and how long still.

    `total` defaults to len(items) where there is one. Nothing is printed for work of less than a few seconds.
    """
    if total is None:
        total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    if sys.stdout.isatty():
        yield from _bar(items, what, total, unit)
    else:
        yield from _lines(items, what, total, unit)


def line(what: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """`member-01: 3/10 epochs, 0.2 epochs/s, 35 s left`."""
    rate = done / seconds if seconds > 0 else 0.0
    of = f"/{total}" if total is not None else ""
    left = f", {duration((total - done) / rate)} left" if total is not None and rate > 0 else ""
    return f"{what}: {done}{of} {unit}, {rate:.3g} {unit}/s{left}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _lines(items: Iterable[Item], what: str, total: int | None, unit: str) -> Iterator[Item]:
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            print(line(what, done, total, unit, now - start), flush=True)
            last = now
    seconds = time.monotonic() - start
    if seconds >= SECONDS_BETWEEN_LINES:
        print(f"{what}: {done} {unit} in {duration(seconds)}", flush=True)


def _bar(items: Iterable[Item], what: str, total: int | None, unit: str) -> Iterator[Item]:
    with _display() as progress:
        inner = len(progress.tasks) > 0
        task = progress.add_task(what, total=total, unit=unit, rate="")
        start = time.monotonic()
        for done, item in enumerate(items, 1):
            yield item
            progress.update(task, advance=1, rate=f"{done / max(time.monotonic() - start, 1e-9):.3g}/s")
        if inner:
            progress.remove_task(task)


@contextmanager
def _display() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if _live:
        yield _live[0]
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        _live.append(progress)
        try:
            yield progress
        finally:
            _live.clear()
