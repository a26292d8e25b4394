"""Independent jobs through joblib: one machine (loky), Ray or Dask."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.orphans import end_with
from asrkd.progress import track

Result = TypeVar("Result")
_CLEAR_LINE = "\r\x1b[2K"


def cores() -> int:
    """Cores that this process may use: a container may allow fewer than the machine has, by affinity or by quota."""
    import joblib

    return int(joblib.cpu_count())


def num_jobs(run: RunConfig) -> int:
    return run.jobs or cores()


def parallel(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    run: RunConfig,
    *,
    what: str,
    unit: str = "jobs",
    lone: bool = True,
) -> list[Result]:
    """`[function(*job) for job in jobs]`, several at a time, each in a process of one thread.

    One process a core is what the machine does best at (two-thread processes get in each other's way); a lone job takes
    all cores, unless `lone` says that it is one of several all the same. The first error of a job ends the call; what
    other jobs wrote stays and is found finished the next time.
    """
    if len(jobs) == 1 and lone:
        return [_with_threads(num_jobs(run), function, jobs[0])]
    import joblib

    workers = min(num_jobs(run), len(jobs))
    if workers <= 1:
        return [_with_threads(1, function, job) for job in track(jobs, what=what, unit=unit)]
    _register(run.engine)
    with joblib.parallel_config(backend=run.engine, n_jobs=workers):
        # joblib's Ray backend hands over all results at the end or none.
        pool = joblib.Parallel(
            return_as="list" if run.engine == "ray" else "generator", pre_dispatch="all", batch_size=1
        )
        results: Iterable[Result] = pool(joblib.delayed(_in_worker)(os.getpid(), function, job) for job in jobs)
        return list(track(results, what=what, total=len(jobs), unit=unit))


def _in_worker(caller: int, function: Callable[..., Result], job: tuple[Any, ...]) -> Result:
    if os.getppid() == caller:
        end_with(caller)
    if os.getpid() != caller and sys.stdout.isatty():
        sys.stdout = _WorkerLines(
            sys.stdout.buffer, encoding=sys.stdout.encoding, errors=sys.stdout.errors, line_buffering=True
        )
    return _with_threads(1, function, job)


class _WorkerLines(io.TextIOWrapper):
    """A worker's output on the terminal: lines alone, since several bars would draw over each other.

    Each takes the place of the caller's bar, which the caller draws again below it, and is written at once, so that the
    bar does not come in between.
    """

    _line = ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str, /) -> int:
        whole, newline, self._line = (self._line + text).rpartition("\n")
        if newline:
            super().write(f"{_CLEAR_LINE}{whole}\n")
        return len(text)


def _with_threads(threads: int, function: Callable[..., Result], job: tuple[Any, ...]) -> Result:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return function(*job)
    finally:
        torch.set_num_threads(before)


def _register(engine: str) -> None:
    if engine == "ray":
        try:
            from ray.util.joblib import register_ray
        except ImportError:
            raise UserError("run.engine=ray: expected the package ray; pip install ray") from None
        register_ray()
    elif engine == "dask":
        try:
            import distributed
        except ImportError:
            raise UserError("run.engine=dask: expected the package distributed; pip install distributed") from None
        try:
            distributed.get_client()
        except ValueError:
            distributed.Client()  # of the scheduler that Dask's own configuration names (DASK_SCHEDULER_ADDRESS)
