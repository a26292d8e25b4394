"""Parallel jobs and their progress."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asrkd import progress
from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.parallel import parallel
from asrkd.progress import duration, line, track


def square(number: int) -> tuple[int, int, int]:
    return number**2, torch.get_num_threads(), os.getpid()


def fail(number: int) -> None:
    raise UserError(f"item {number}: expected even; mend it")


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_from_one_thread_each(jobs: int) -> None:
    results = parallel(square, [(n,) for n in range(5)], RunConfig(jobs=jobs), what="squares")
    assert [result[0] for result in results] == [0, 1, 4, 9, 16]
    assert {result[1] for result in results} == {1}
    assert (os.getpid() in {result[2] for result in results}) == (jobs == 1)


def test_a_lone_job_takes_all_the_cores_it_may() -> None:
    assert parallel(square, [(3,)], RunConfig(jobs=2), what="squares")[0][:2] == (9, 2)
    assert parallel(square, [(3,)], RunConfig(jobs=2), what="squares", lone=False)[0][:2] == (9, 1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_job_comes_out_as_it_is(jobs: int) -> None:
    with pytest.raises(UserError, match="expected even; mend it"):
        parallel(fail, [(1,), (3,)], RunConfig(jobs=jobs), what="failures")


def test_an_engine_that_is_not_installed_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray.util.joblib", None)
    with pytest.raises(UserError, match="pip install ray"):
        parallel(square, [(1,), (2,)], RunConfig(jobs=2, engine="ray"), what="squares")


ORPHANS = """
import os, sys, time
from asrkd.config import RunConfig
from asrkd.parallel import parallel

def work(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)

parallel(work, [(path,) for path in sys.argv[1:]], RunConfig(jobs=2), what="work")
"""


def test_workers_do_not_outlive_a_killed_call(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    with subprocess.Popen([sys.executable, "-c", ORPHANS, *map(str, files)], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: all(file.exists() and file.read_text() for file in files))
        process.kill()
    workers = [int(file.read_text()) for file in files]
    wait_for(lambda: not any(alive(worker) for worker in workers))


BARS = """
import time
from asrkd import progress
from asrkd.config import RunConfig
from asrkd.parallel import parallel

def work(name):
    progress.SECONDS_BETWEEN_LINES = 0.01
    for _ in progress.track(range(4), what=name, unit="steps"):
        time.sleep(0.2)

parallel(work, [("first",), ("second",)], RunConfig(jobs=2), what="outer")
"""


def test_workers_on_a_terminal_print_lines_and_the_caller_a_bar() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", BARS], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: read_or_end(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0, shown
    # What stands on the terminal in the end of each line: what was written after it was last cleared.
    lines = [line.rpartition("\x1b[2K")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    for name in ("first", "second"):
        assert [line for line in lines if line.startswith(f"{name}: 2/4 steps, ")]
    drawn = [part for part in shown.split("\x1b[2K") if "\u2501" in part]
    assert drawn and all("outer" in part for part in drawn)


def read_or_end(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's way to say that nobody writes any more
        return b""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Running, not only waiting to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_progress_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)
    assert list(track(slow(4), what="work", total=4, unit="files")) == [0, 1, 2, 3]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) >= 3 and printed[0].startswith("work: 1/4 files") and "left" in printed[0]


def slow(count: int):  # type: ignore[no-untyped-def]
    for number in range(count):
        time.sleep(0.06)
        yield number


def test_line_and_duration_by_hand() -> None:
    assert line("x", 2, 10, "epochs", 4.0) == "x: 2/10 epochs, 0.5 epochs/s, 16 s left"
    assert line("x", 2, None, "epochs", 4.0) == "x: 2 epochs, 0.5 epochs/s"
    assert (duration(12), duration(600), duration(7200)) == ("12 s", "10 min", "2.0 h")
