"""Stage 10 of recipes/mnist: the errors of every net on the test images, and the bias corrections."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.experiment import Step, expect_settings, identity
from asrkd.files import write_json
from asrkd.mnist.nets import PARTIALS, PLAIN, nets, seeds, temperatures
from asrkd.train.training import targets_name, training_settings

SCORES = "scores.json"


def score_nets(exp: Path, config: Config, force: bool = False) -> None:
    """Write EXP/scores/scores.json. Raises UserError when a net is missing or was trained with another config."""
    names = list(nets(config))
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
    for split in ("train", "dev", "test"):
        expect_settings(exp / "features" / split, "stage 1", config)
    for temperature in temperatures(config):
        expect_settings(exp / targets_name(temperature), "stage 5", config)
    for name, net in nets(config).items():
        expect_settings(exp / "models" / name, stage_of(name), config, training_settings(net.config or config, net))
    if not step.begin():
        return
    # Only now: torch takes seconds to import.
    from asrkd.mnist.errors import correction, net_errors
    from asrkd.progress import track

    precision = config.train.precision
    errors = {name: net_errors(exp, name, precision) for name in track(names, what="test images", unit="nets")}
    corrections = {
        partial.name: [correction(exp, f"{partial.name}-{run}", partial.corrected, precision) for run in seeds(config)]
        for partial in PARTIALS
    }
    write_json(step.folder / SCORES, {"nets": errors, "corrections": corrections})
    step.finish([SCORES])
    _show(errors)


def stage_of(name: str) -> str:
    kind = name.partition("-")[0]
    return {"member": "stage 4", PLAIN: "stage 4", "sweep": "stage 7"}.get(kind, "stage 6")


def _show(errors: Mapping[str, Mapping[str, Any]]) -> None:
    for name, found in errors.items():
        print(f"{name}: {found['errors']} errors on {found['images']} test images", flush=True)
