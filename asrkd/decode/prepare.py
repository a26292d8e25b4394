"""Stage 9: dev and test decoded with every system, all with the same graph, beam and prior."""

from pathlib import Path

from asrkd.config import Config, section
from asrkd.decode.scales import SECOND_LM
from asrkd.experiment import Step, hash_file, identity
from asrkd.parallel import parallel
from asrkd.systems import TRAINED_BY, systems


def decode_systems(exp: Path, config: Config, force: bool = False) -> None:
    """EXP/decode/<system>/{dev,test}: a parallel job a system. The scales are chosen on dev, per system.

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
        # Also on a GPU as many as there are cores: most of the time goes into the search, which the GPU has no part in.
        # Each holds a context on the GPU; where its memory does not suffice for all of them, run.jobs allows fewer.
        from asrkd.decode.split import decode_system  # it imports torch, which takes seconds

        parallel(decode_system, jobs, config.run, what="decoding", unit="systems")
