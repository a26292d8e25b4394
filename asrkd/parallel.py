"""Independent jobs through joblib: one machine (loky), Ray or Dask."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

from asrkd.config import RunConfig
from asrkd.errors import UserError
from asrkd.progress import track

Result = TypeVar("Result")
SECONDS_BETWEEN_LOOKS = 0.2  # of a worker, whether its caller is still there


def cores() -> int:
    """Cores that this process may use (a container may allow fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_jobs(run: RunConfig) -> int:
    return run.jobs or cores()


def parallel(
    function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], run: RunConfig, *, what: str, unit: str = "jobs"
) -> list[Result]:
    """`[function(*job) for job in jobs]`, several at a time, each in a process of one thread.

    One process a core is what the machine does best at (two-thread processes get in each other's way); a lone job takes
    all cores. The first error of a job ends the call; what other jobs wrote stays and is found finished the next time.
    """
    if len(jobs) == 1:
        return [_with_threads(num_jobs(run), function, jobs[0])]
    import joblib

    workers = min(num_jobs(run), len(jobs))
    if workers <= 1:
        return [_with_threads(1, function, job) for job in track(jobs, what=what, unit=unit)]
    _register(run.engine)
    with joblib.parallel_config(backend=run.engine, n_jobs=workers):
        pool = joblib.Parallel(return_as="generator", pre_dispatch="all", batch_size=1)
        results: Iterator[Result] = pool(joblib.delayed(_in_worker)(os.getpid(), function, job) for job in jobs)
        return list(track(results, what=what, total=len(jobs), unit=unit))


def _in_worker(caller: int, function: Callable[..., Result], job: tuple[Any, ...]) -> Result:
    if os.getppid() == caller:
        _die_with(caller)
    return _with_threads(1, function, job)


@cache
def _die_with(caller: int) -> None:
    """End this worker soon after its caller is gone.

    A worker that outlives a killed call would go on writing into folders that the next call resumes.
    """

    def watch() -> None:
        while os.getppid() == caller:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
            import distributed  # noqa: F401  (joblib finds the backend once the package is imported)
        except ImportError:
            raise UserError("run.engine=dask: expected the package distributed; pip install distributed") from None
