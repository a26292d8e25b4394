"""Stage 9: dev and test decoded with every system, all with the same graph, beam and prior."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, RunConfig, section
from asrkd.decode.scales import SECOND_LM
from asrkd.experiment import Step, identity
from asrkd.files import hash_file
from asrkd.parallel import num_jobs, parallel
from asrkd.systems import TRAINED_BY, System, systems


def decode_systems(exp: Path, config: Config, force: bool = False) -> None:
    """EXP/decode/<system>/{dev,test}. The scales are chosen on dev, per system.

    Raises UserError when an earlier stage is missing.
    """
    decode_each(exp, config, systems(config), decoding_inputs(exp), "stage 9", force)


def decoding_inputs(exp: Path) -> dict[str, str]:
    """What every system is decoded from, beside its models: name -> identity.

    Raises UserError when an earlier stage is missing.
    """
    inputs = {
        "data": identity(exp / "data", "stage 0"),
        "align": identity(exp / "align", "stage 3"),
        "graph": identity(exp / "graph", "stage 8"),
        **{f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("dev", "test")},
    }
    second = exp / "lang" / SECOND_LM
    if second.is_file():  # the graph does not depend on it
        inputs[f"lang/{SECOND_LM}"] = hash_file(second)
    return inputs


def decoding_step(
    exp: Path, config: Config, system: System, inputs: Mapping[str, str], made_by: str, force: bool = False
) -> Step:
    """Of EXP/decode/<system>; inputs: those of `decoding_inputs`. Raises UserError when a model is missing."""
    models = {f"models/{name}": identity(exp / "models" / name, TRAINED_BY[system.kind]) for name in system.models}
    chosen = section(config, "decode", "train.precision")
    folder = exp / "decode" / system.name
    return Step(folder, made_by=made_by, config=chosen, inputs={**inputs, **models}, force=force)


def decode_each(
    exp: Path, config: Config, found: Sequence[System], inputs: Mapping[str, str], made_by: str, force: bool
) -> None:
    """Those of the systems that are not decoded yet. Raises UserError when a model is missing."""
    jobs = []
    # The ensemble takes the longest, so it begins first.
    for system in sorted(found, key=lambda system: -len(system.models)):
        step = decoding_step(exp, config, system, inputs, made_by, force)
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
