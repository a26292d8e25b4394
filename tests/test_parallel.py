"""Parallel jobs and their progress."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asrkd import progress
from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.parallel import MANAGER, _quiet_manager, parallel
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


def test_of_a_missing_job_the_manager_says_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else goes wrong in a thread is told as ever."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda error: told.append(error.exc_type))
    with _quiet_manager():
        for name, raiser in ((MANAGER, {}.__getitem__), (MANAGER, int), ("another", {}.__getitem__)):
            thread = threading.Thread(target=raiser, args=("missing",), name=name)
            thread.start()
            thread.join()
    assert told == [ValueError, KeyError]
    assert capsys.readouterr().err == "jobs that wait for a worker are given up\n"


def test_an_engine_that_is_not_installed_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray.util.joblib", None)
    with pytest.raises(UserError, match="pip install ray"):
        parallel(square, [(1,), (2,)], RunConfig(jobs=2, engine="ray"), what="squares")


def die_once(marker: Path, number: int) -> int:
    """Kill this worker as the system does that wants memory, unless it has done so before."""
    if number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_jobs_of_a_killed_worker_are_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [(tmp_path / "marker", n) for n in range(4)]
    assert parallel(die_once, jobs, RunConfig(jobs=2), what="deaths") == [0, 1, 2, 3]
    assert "deaths: a worker was killed; jobs without a result are run again (2 of 3)" in capsys.readouterr().out


def test_workers_that_are_killed_every_time_end_the_call() -> None:
    with pytest.raises(UserError, match="deaths: expected workers that live.*smaller run.jobs"):
        parallel(die, [(1,), (2,)], RunConfig(jobs=2), what="deaths")


# What a call does on a cluster, in a process of its own: neither Ray nor Dask tidies up after itself without warnings.
ON_A_CLUSTER = """
import sys
from pathlib import Path
from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.parallel import parallel
from tests.test_parallel import die_once, fail, square

if __name__ == "__main__":
    engine, marker = sys.argv[1], Path(sys.argv[2])
    if engine == "ray":
        import ray
        from ray.cluster_utils import Cluster
        cluster = Cluster()
        for _ in range(2):
            cluster.add_node(num_cpus=1, include_dashboard=False)
        ray.init(address=cluster.address, log_to_driver=False)
    else:
        import distributed
        cluster = distributed.LocalCluster(n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None)
        client = distributed.Client(cluster)
    run = RunConfig(jobs=2, engine=engine)
    results = parallel(square, [(n,) for n in range(5)], run, what="squares")
    assert [result[0] for result in results] == [0, 1, 4, 9, 16], results
    assert {result[1] for result in results} == {1}, results
    try:
        parallel(fail, [(1,), (3,)], run, what="failures")
    except UserError as error:
        assert type(error) is UserError and str(error).endswith("expected even; mend it"), repr(error)
    else:
        raise AssertionError("expected UserError")
    assert parallel(die_once, [(marker, n) for n in range(4)], run, what="deaths") == [0, 1, 2, 3]
    print("all well", flush=True)
"""


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_engines_of_a_cluster_do_as_loky_does(engine: str, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "RAY_USAGE_STATS_ENABLED": "0"}
    script = tmp_path / "cluster.py"
    script.write_text(ON_A_CLUSTER)
    command = [sys.executable, str(script), engine, str(tmp_path / "marker")]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0 and "all well" in done.stdout, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / "marker").exists()


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
