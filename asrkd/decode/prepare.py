"""Stage 9: dev and test decoded with every system, all with the same graph, beam and prior."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, RunConfig, section
from asrkd.decode.scales import SECOND_LM
from asrkd.experiment import Step, identity
from asrkd.files import hash_file
from asrkd.parallel import num_jobs, parallel
from asrkd.systems import TRAINED_BY, systems


def decode_systems(exp: Path, config: Config, force: bool = False) -> None:
    """EXP/decode/<system>/{dev,test}. The scales are chosen on dev, per system.

    Raises UserError when an earlier stage is missing.
    """
    common = {
        "data": identity(exp / "data", "stage 0"),
        "align": identity(exp / "align", "stage 3"),
        "graph": identity(exp / "graph", "stage 8"),
        **{f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("dev", "test")},
    }
    second = exp / "lang" / SECOND_LM
    if second.is_file():  # the graph does not depend on it
        common[f"lang/{SECOND_LM}"] = hash_file(second)
    chosen = section(config, "decode", "train.precision")
    jobs = []
    # The ensemble takes the longest, so it begins first.
    for system in sorted(systems(config), key=lambda system: -len(system.models)):
        models = {f"models/{name}": identity(exp / "models" / name, TRAINED_BY[system.kind]) for name in system.models}
        inputs = {**common, **models}
        step = Step(exp / "decode" / system.name, made_by="stage 9", config=chosen, inputs=inputs, force=force)
        if step.begin():
            jobs.append((exp, config, system, step))
    if jobs:
        from asrkd.decode.split import decode_system  # it imports torch, which takes seconds

        run_systems(decode_system, jobs, config.run, what="decoding")


def run_systems(function: Callable[..., None], jobs: Sequence[tuple[Any, ...]], run: RunConfig, *, what: str) -> None:
    """`function(*job, run)` of each system, whose last argument says among how many searches to share the utterances.

    A process a system, or with twice as many processes and more, all of them for one system after the other.
    """
    if num_jobs(run) < 2 * len(jobs):
        # Also on a GPU as many as there are cores: most of the time goes into the search, which the GPU has no part in.
        # Each holds a context on the GPU; where its memory does not suffice for all of them, run.jobs allows fewer.
        parallel(function, [(*job, replace(run, jobs=1)) for job in jobs], run, what=what, unit="systems")
        return
    for job in jobs:
        parallel(function, [(*job, run)], run, what=what, unit="systems")
