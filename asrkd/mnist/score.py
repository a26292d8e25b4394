"""Stage 10 of recipes/mnist: the errors of every net on the test images, and the bias corrections."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import Step, identity
from asrkd.files import read_json, write_json
from asrkd.mnist.nets import PARTIALS, PLAIN, nets, seeds
from asrkd.train.jobs import Training

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
    for name, net in nets(config).items():
        _check(exp / "models" / name, net)
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


def _check(folder: Path, net: Training) -> None:
    """Raises UserError when the net is not what the report would call it: the config was changed since."""
    card = read_json(folder / "card.json")
    pairs = {key: (card[key], getattr(net, key)) for key in ("seed", "hard_weight", "temperature")}
    for part, now in section(net.config or Config(), "model", "train").items():
        # What a later version of asrkd has more is in no card.
        pairs |= {f"{part}.{key}": (was, now[key]) for key, was in card[part].items() if key in now}
    for key, (was, is_now) in pairs.items():
        if was != is_now:
            stage = stage_of(folder.name)
            raise UserError(
                f"{folder}: trained with {key}={was}, and by the config it is {is_now}; run {stage} again (run.sh "
                f"--stage {stage.split()[-1]}), or set the config back"
            )


def _show(errors: Mapping[str, Mapping[str, Any]]) -> None:
    for name, found in errors.items():
        print(f"{name}: {found['errors']} errors on {found['images']} test images", flush=True)
