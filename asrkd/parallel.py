"""Independent jobs through joblib: one machine (loky), Ray or Dask.

Workers on other machines see the experiment's folder at the same path, through a file system that they share.
"""

import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.orphans import end_with
from asrkd.progress import track

Result = TypeVar("Result")
_CLEAR_LINE = "\r\x1b[2K"
_MISSING: Any = object()
MANAGER = "ExecutorManagerThread"  # of loky
MOST_TRIES = 3  # of jobs whose worker the system killed


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
    # loky renews a worker whose memory has grown, and takes the memory-mapped frames for memory; no job is lost by it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    # Workers of a cluster have parents of their own, and another machine may have a process of this one's id.
    caller = os.getpid() if run.engine == "loky" else None
    results: list[Result] = [_MISSING] * len(jobs)
    for tries in range(1, MOST_TRIES + 1):
        left = [number for number, result in enumerate(results) if result is _MISSING]
        try:
            with _quiet_manager(), joblib.parallel_config(backend=run.engine, n_jobs=workers):
                # joblib's Ray backend hands over all results at the end or none.
                pool = joblib.Parallel(
                    return_as="list" if run.engine == "ray" else "generator", pre_dispatch="all", batch_size=1
                )
                made: Iterable[Result] = pool(
                    joblib.delayed(_in_worker)(caller, function, jobs[number]) for number in left
                )
                for number, result in zip(left, track(made, what=what, total=len(left), unit=unit), strict=True):
                    results[number] = result
            break
        except Exception as error:
            _raise_unless_worker_died(error, what, tries)
    return results


@contextmanager
def _quiet_manager() -> Iterator[None]:
    """When an error ends the call, jobs that wait are taken away from the thread that hands them out. That it misses
    one is a line for a user and no traceback: the error follows."""
    before = threading.excepthook

    def hook(error: threading.ExceptHookArgs) -> None:
        if isinstance(error.exc_value, KeyError) and error.thread and error.thread.name == MANAGER:
            print("jobs that wait for a worker are given up", file=sys.stderr, flush=True)
        else:
            before(error)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _raise_unless_worker_died(error: Exception, what: str, tries: int) -> None:
    """A worker that the system killed took its jobs with it: they go on where they were when they are run again.

    joblib's Ray backend keeps its workers as actors, which Ray does not start again; Dask tries three times itself.
    """
    names = {base.__name__ for base in type(error).__mro__}
    if not names & {"TerminatedWorkerError", "RayActorError", "WorkerCrashedError", "OutOfMemoryError", "KilledWorker"}:
        cause = getattr(error, "cause", None)
        raise cause if isinstance(cause, Exception) else error  # Ray's RayTaskError holds the error of the job
    if tries < MOST_TRIES and "KilledWorker" not in names:
        print(
            f"{what}: a worker was killed; jobs without a result are run again ({tries + 1} of {MOST_TRIES})",
            flush=True,
        )
        return
    raise UserError(
        f"{what}: expected workers that live to the end, found one killed in each of several tries, most often by the "
        "system for want of memory; free memory or set a smaller run.jobs, and call again: what was done stays"
    ) from error


def _in_worker(caller: int | None, function: Callable[..., Result], job: tuple[Any, ...]) -> Result:
    if caller is not None and os.getppid() == caller:
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
