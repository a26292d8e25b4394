"""The training of the aligner: monophones from equal alignments, the tree, tied left-context GMMs.

The state after each pass is on disk in one file, so a killed run goes on where it was, to the same result.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from asrkd.align.gmm import VARIANCE_FLOOR, Gmm, Statistics, grow, single_gaussians, update
from asrkd.align.passes import Model, Speech, Totals, run_pass, unit_moments
from asrkd.align.topology import STATES, monophone_pdfs
from asrkd.align.tree import MIN_LEAF, UnitStatistics, build_tree, cluster_questions, tree_json
from asrkd.config import AlignConfig, RunConfig
from asrkd.errors import UserError
from asrkd.files import write_json
from asrkd.progress import track
from asrkd.tensors import replacing_tensors

STATE = "training.safetensors"
PASS = "pass over the speech"
SHORT_SHARE = 0.4  # of the monophone passes see only the shorter half of the utterances, where less can go wrong
ONE_GAUSSIAN = 3  # updates before mixtures grow
GROWN = 0.75  # of the passes: the rest train the full number
REALIGN_MONOPHONES = 2  # every so many passes, once all utterances take part
REALIGN_TIED = 3
FIRST_STAY = 0.75
STAY_RANGE = (0.05, 0.95)


@dataclass
class Training:
    """All that a pass takes and leaves."""

    model: Model
    units: np.ndarray  # (N,) int32: the alignment; -1 where there is none
    floor: np.ndarray  # (D,): the least variance
    passes: list[dict[str, Any]]  # a report of each


def train_aligner(
    speech: Speech,
    usable: np.ndarray,
    equal: np.ndarray,
    phones: Sequence[str],
    config: AlignConfig,
    folder: Path,
    run: RunConfig,
) -> Training:
    """GMM-HMMs with tied left-context states, from the utterances `usable` and their equal alignments (N,) of units.

    Writes `tree.json` into `folder`, where the state of the training is kept too.
    """
    state = folder / STATE
    training = _load(state) if state.is_file() else _flat_start(speech, usable, equal, len(phones), run)
    numbers = range(len(training.passes), config.monophone_passes + config.tied_passes)
    for number in track(numbers, what="alignment", unit="passes"):
        began = time.monotonic()
        tied = number - config.monophone_passes
        if tied < 0:
            report = _monophone_pass(training, speech, usable, number, config, run)
        else:
            if tied == 0:
                _tie(training, speech, usable, phones, config.num_pdfs, folder, run)
            report = _tied_pass(training, speech, usable, tied, config, run)
        training.passes.append({**report, "seconds": round(time.monotonic() - began, 1)})
        _save(state, training)
    return training


def _flat_start(speech: Speech, usable: np.ndarray, equal: np.ndarray, num_phones: int, run: RunConfig) -> Training:
    """One Gaussian a monophone state, from the equal alignments."""
    if not (equal >= 0).any():
        raise UserError(
            "alignment: expected utterances of three frames or more for each phone of their transcripts, found none; "
            "are these the right transcripts (data.train), and is features.frame_shift right?"
        )
    pdfs = monophone_pdfs(num_phones)
    moments = unit_moments(speech, usable, equal, pdfs.size, run, "flat start")
    mean = moments.first.sum(axis=0) / moments.occupancy.sum()
    floor = VARIANCE_FLOOR * (moments.second.sum(axis=0) / moments.occupancy.sum() - mean**2)
    return Training(_single_gaussians(moments, pdfs, floor), equal, floor, [])


def _monophone_pass(
    training: Training, speech: Speech, usable: np.ndarray, number: int, config: AlignConfig, run: RunConfig
) -> dict[str, Any]:
    chosen, realign = usable, True
    short = math.ceil(SHORT_SHARE * config.monophone_passes)
    if number < short:
        by_length = usable[np.argsort(speech.counts[usable], kind="stable")]
        chosen = np.sort(by_length[: (len(usable) + 1) // 2])
    else:
        realign = (number - short) % REALIGN_MONOPHONES == 0
    totals = run_pass(speech, chosen, training.model, training.units, run, PASS, realign=realign)
    gaussians = _gaussians(number, config.monophone_passes, training.model.gmm.num_pdfs, config.monophone_gaussians)
    return {"kind": "monophone", "realigned": realign, **_update(training, totals, gaussians)}


def _tied_pass(
    training: Training, speech: Speech, usable: np.ndarray, number: int, config: AlignConfig, run: RunConfig
) -> dict[str, Any]:
    realign = number % REALIGN_TIED == REALIGN_TIED - 1
    totals = run_pass(speech, usable, training.model, training.units, run, PASS, realign=realign)
    gaussians = _gaussians(number, config.tied_passes, training.model.gmm.num_pdfs, config.tied_gaussians)
    return {"kind": "tied", "realigned": realign, **_update(training, totals, gaussians)}


def _update(training: Training, totals: Totals, gaussians: int) -> dict[str, Any]:
    model = training.model
    stay = np.where(totals.visits > 0, totals.stays / np.maximum(totals.visits, 1), model.stay)
    gmm = update(model.gmm, totals.statistics, training.floor)
    gmm = grow(gmm, totals.visits, gaussians, seed=len(training.passes))
    training.model = Model(model.pdfs, gmm, np.clip(stay, *STAY_RANGE))
    frames = float(totals.visits.sum())
    return {
        "gaussians": len(model.gmm.weights),
        "frames": int(frames),
        "log_likelihood": round(totals.statistics.log_likelihood / max(frames, 1.0), 4),
        "failed": len(totals.failed),
    }


def _gaussians(number: int, passes: int, start: int, end: int) -> int:
    """How many there shall be after a pass: a straight line from the first growth to the last."""
    last = max(int(GROWN * passes), ONE_GAUSSIAN)
    done = (number + 2 - ONE_GAUSSIAN) / (last + 1 - ONE_GAUSSIAN)
    return start + round(max(end - start, 0) * min(max(done, 0.0), 1.0))


def _tie(
    training: Training,
    speech: Speech,
    usable: np.ndarray,
    phones: Sequence[str],
    num_pdfs: int,
    folder: Path,
    run: RunConfig,
) -> None:
    """Grow the tree on the monophone alignment and start again with one Gaussian a pdf."""
    num_phones = len(phones)
    moments = unit_moments(speech, usable, training.units, num_phones**2 * STATES, run, "statistics for the tree")
    shape = (num_phones, num_phones, STATES)
    statistics = UnitStatistics(
        moments.occupancy.reshape(shape),
        moments.first.reshape(*shape, -1),
        moments.second.reshape(*shape, -1),
        training.floor,
    )
    tree = build_tree(statistics, cluster_questions(statistics), num_pdfs)
    if tree.num_pdfs < num_pdfs:
        print(f"alignment: {tree.num_pdfs} pdfs of the {num_pdfs} asked for, since leaves need {MIN_LEAF} frames")
    write_json(folder / "tree.json", tree_json(tree, phones))
    training.model = _single_gaussians(moments, tree.pdfs, training.floor)


def _single_gaussians(moments: Statistics, pdfs: np.ndarray, floor: np.ndarray) -> Model:
    """One Gaussian a pdf from the moments of the units; a pdf without frames gets that of all frames."""
    members = pdfs.ravel()
    count, first, second = (
        np.zeros((members.max() + 1, *sums.shape[1:])) for sums in (moments.occupancy, moments.first, moments.second)
    )
    np.add.at(count, members, moments.occupancy)
    np.add.at(first, members, moments.first)
    np.add.at(second, members, moments.second)
    empty = count == 0
    count[empty], first[empty], second[empty] = (
        moments.occupancy.sum(),
        moments.first.sum(axis=0),
        moments.second.sum(axis=0),
    )
    means = first / count[:, None]
    variances = np.maximum(second / count[:, None] - means**2, floor)
    return Model(pdfs, single_gaussians(means, variances), np.full(len(count), FIRST_STAY))


def _save(path: Path, training: Training) -> None:
    model = training.model
    arrays = {**model.gmm.arrays(), "pdfs": model.pdfs, "stay": model.stay}
    arrays |= {"units": training.units, "floor": training.floor}
    with replacing_tensors(path) as temporary:
        save_file(arrays, temporary, metadata={"passes": json.dumps(training.passes)})


def _load(path: Path) -> Training:
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict: it cannot be iterated)
        passes = json.loads(file.metadata()["passes"])
    model = Model(arrays["pdfs"], Gmm.from_arrays(arrays), arrays["stay"])
    return Training(model, arrays["units"], arrays["floor"], passes)
