"""Stage 10 of recipes/mnist: the errors of every net on the test images, and the bias corrections."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.experiment import Step, identity
from asrkd.files import write_json
from asrkd.mnist.nets import PARTIALS, seeds, small_names
from asrkd.systems import member_names

SCORES = "scores.json"


def score_nets(exp: Path, config: Config, force: bool = False) -> None:
    """Write EXP/scores/scores.json. Raises UserError when a net is missing."""
    names = [*member_names(config), *small_names(config)]
    step = Step(
        exp / "scores",
        made_by="stage 10",
        config=section(config, "train.precision"),
        inputs={
            **{f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", "test")},
            "align": identity(exp / "align", "stage 3"),
            **{f"models/{name}": identity(exp / "models" / name, stage_of(name)) for name in names},
        },
        force=force,
    )
    if not step.begin():
        return
    # Only now: torch takes seconds to import.
    from asrkd.mnist.errors import correction, net_errors
    from asrkd.progress import track

    precision = config.train.precision
    nets = {name: net_errors(exp, name, precision) for name in track(names, what="test images", unit="nets")}
    corrections = {
        partial.name: [correction(exp, f"{partial.name}-{run}", partial.corrected, precision) for run in seeds(config)]
        for partial in PARTIALS
    }
    write_json(step.folder / SCORES, {"nets": nets, "corrections": corrections})
    step.finish([SCORES])
    _show(nets)


def stage_of(name: str) -> str:
    kind = name.partition("-")[0]
    return {"member": "stage 4", "sweep": "stage 7"}.get(kind, "stage 6")


def _show(nets: Mapping[str, Mapping[str, Any]]) -> None:
    for name, found in nets.items():
        print(f"{name}: {found['errors']} errors on {found['images']} test images", flush=True)
