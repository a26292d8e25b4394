"""Stages 4 to 7 of recipes/mnist: which nets are trained, on what.

The large nets are the members of stage 4. As in the paper a single one, the first, is the teacher. Small nets are the
students of stage 6 without any other regularisation; those with hard targets, which need no teacher and so are of stage
4, differ from them in the targets alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.align.labels import load_labels
from asrkd.config import Config
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.mnist.digits import CLASSES
from asrkd.train.jobs import train_models
from asrkd.train.members import members
from asrkd.train.soft_targets import make_soft_targets
from asrkd.train.students import student_config
from asrkd.train.training import Training

PLAIN = "plain"
STUDENT = "student"


@dataclass(frozen=True)
class Partial:
    """A transfer set of some digits, and those whose biases are corrected afterwards."""

    name: str
    label: str
    digits: tuple[int, ...]  # in the transfer set
    corrected: tuple[int, ...]


WITHOUT_3 = Partial("without-3", "without threes", tuple(digit for digit in range(CLASSES) if digit != 3), (3,))
ONLY_7_8 = Partial("only-7-8", "sevens and eights alone", (7, 8), (7, 8))
PARTIALS = (WITHOUT_3, ONLY_7_8)


def train(exp: Path, config: Config, force: bool = False) -> None:
    """Stage 4: the large nets and small ones, with hard targets. Raises UserError as `distil` does."""
    _train(exp, config, [*members(config), *hard_nets(config)], "stage 4", force)


def teach(exp: Path, config: Config, force: bool = False) -> None:
    """Stage 5: the first large net's soft targets at every temperature that a small net needs."""
    own = replace(
        config,
        ensemble=replace(config.ensemble, members=1),
        distill=replace(config.distill, temperatures=temperatures(config)),
    )
    make_soft_targets(exp, own, force)


def temperatures(config: Config) -> list[float]:
    """Of all small nets with soft targets."""
    return sorted({*config.distill.temperatures[:1], *config.mnist.sweep_temperatures})


def distil(exp: Path, config: Config, force: bool = False) -> None:
    """Stage 6: small nets with soft targets, of all digits and of some of them alone.

    Raises UserError when an input is missing or a loss is no longer finite.
    """
    store = FrameStore.open(exp / "features" / "train")
    labels = load_labels(exp / "align" / "train")
    sets = {partial.name: _transfer_set(store, labels, partial) for partial in PARTIALS}
    trainings = [replace(net, **sets.get(net.name.rpartition("-")[0], {})) for net in soft_nets(config)]
    _train(exp, config, trainings, "stage 6", force)


def sweep(exp: Path, config: Config, force: bool = False) -> None:
    """Stage 7: still smaller students at several temperatures. Raises UserError as `distil` does."""
    _train(exp, config, sweep_nets(config), "stage 7", force)


def small_config(config: Config) -> Config:
    """The students' config without what regularises the large nets."""
    own = student_config(config)
    return replace(own, model=replace(own.model, input_dropout=0.0), train=replace(own.train, max_norm=0.0, jitter=0))


def sweep_config(config: Config, size: int) -> Config:
    """That of the small nets, for students of stage 7."""
    own = small_config(config)
    train = replace(own.train, epochs=config.mnist.sweep_epochs)
    return replace(own, model=replace(own.model, hidden_size=size), train=train)


def seeds(config: Config) -> Mapping[int, int]:
    """run -> seed of a small net, runs counted from 1."""
    return {run: config.distill.seed + run - 1 for run in range(1, config.mnist.runs + 1)}


def sweep_name(size: int, temperature: float, run: int) -> str:
    return f"sweep-{size}-T{temperature:g}-{run}"


def nets(config: Config) -> dict[str, Training]:
    """All nets of stages 4, 6 and 7 by name, each with its own config; the large ones are the members."""
    found = [*members(config), *hard_nets(config), *soft_nets(config), *sweep_nets(config)]
    return {net.name: net for net in found}


def hard_nets(config: Config) -> list[Training]:
    """The small nets of stage 4."""
    return [Training(f"{PLAIN}-{run}", seed, config=small_config(config)) for run, seed in seeds(config).items()]


def soft_nets(config: Config) -> list[Training]:
    """Those of stage 6, on all digits."""
    weight, temperature = config.distill.hard_weight, config.distill.temperatures[0]
    return [
        Training(f"{kind}-{run}", seed, weight, temperature, config=small_config(config))
        for run, seed in seeds(config).items()
        for kind in (STUDENT, *(partial.name for partial in PARTIALS))
    ]


def sweep_nets(config: Config) -> list[Training]:
    """Those of stage 7."""
    weight = config.distill.hard_weight
    return [
        Training(sweep_name(size, temperature, run), seed, weight, temperature, config=sweep_config(config, size))
        for size in config.mnist.sweep_sizes
        for temperature in config.mnist.sweep_temperatures
        for run, seed in seeds(config).items()
    ]


def _transfer_set(store: FrameStore, labels: NDArray[np.int16], partial: Partial) -> dict[str, Any]:
    """What of a Training says that it has the partial's digits alone."""
    chosen = np.flatnonzero(np.isin(labels, partial.digits))
    return {"utterances": tuple(store.ids[u] for u in chosen), "about": {"digits": list(partial.digits)}}


def _train(exp: Path, config: Config, trainings: Sequence[Training], made_by: str, force: bool) -> None:
    train_models(exp, config, trainings, made_by, force)
    for training in trainings:
        card = read_json(exp / "models" / training.name / "card.json")
        print(f"{training.name}: {card['dev_accuracy']:.2f} % of the dev images", flush=True)
