"""One pass over the speech: align it, collect statistics, or both, in parallel jobs of a shard of the utterances each.

Shards do not depend on the number of jobs and their sums are added in order: neither does the result.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from asrkd.align.gmm import Gmm, Scorer, Statistics, accumulate, log_likelihoods, scorer
from asrkd.align.graphs import Graphs, open_graphs
from asrkd.align.observations import observations
from asrkd.align.viterbi import best_path
from asrkd.config import RunConfig
from asrkd.features.store import FrameStore
from asrkd.parallel import parallel

BLOCK = 10_000  # frames whose observations are worked out at once
SHARD = 30_000  # frames of a job, at least
MOST_SHARDS = 64  # whose statistics come back and are held at a time


@dataclass(frozen=True)
class Model:
    """GMM-HMMs: the pdf of every unit (P, P, 3), the mixtures, the probability of each pdf's self-loop (C,)."""

    pdfs: np.ndarray
    gmm: Gmm
    stay: np.ndarray


@dataclass(frozen=True)
class Source:
    """What a job opens its speech from."""

    features: Path  # a FrameStore
    graphs: Path  # the folder of its graphs
    version: int  # tells it from what was in the same folders before


@dataclass(frozen=True)
class Speech:
    """Utterances with their frames and graphs, both memory-mapped."""

    source: Source
    frames: np.ndarray  # (N, mel)
    first: np.ndarray  # (U,)
    counts: np.ndarray  # (U,)
    graphs: Graphs

    def rows(self, utterance: int) -> slice:
        return slice(int(self.first[utterance]), int(self.first[utterance] + self.counts[utterance]))


@dataclass
class Totals:
    """What a pass found. `stays` and `visits` (C,) count the frames of a pdf that are followed by the same state, and
    all.
    """

    statistics: Statistics
    stays: np.ndarray
    visits: np.ndarray
    failed: list[int] = field(default_factory=list)  # utterances without a path

    def add(self, other: "Totals") -> None:
        self.statistics.add(other.statistics)
        self.stays += other.stays
        self.visits += other.visits
        self.failed += other.failed


@lru_cache(maxsize=1)
def open_speech(source: Source) -> Speech:
    """Kept, since a worker has one shard after the other, in one pass after the other."""
    store = FrameStore.open(source.features)
    return Speech(source, store.frames, store.first, store.counts, open_graphs(source.graphs))


def run_pass(
    speech: Speech, chosen: np.ndarray, model: Model, units: np.ndarray, run: RunConfig, what: str, *, realign: bool
) -> Totals:
    """Collect statistics of the utterances `chosen` under `model`, aligned as `units` (N,) says, or anew (into
    `units`). Raises ValueError when there are none.
    """
    size = max(SHARD, int(speech.counts[chosen].sum()) // MOST_SHARDS)
    shards = split_by_frames(speech.counts, chosen, size)
    jobs = [
        (speech.source, shard, model, None if realign else np.concatenate([units[speech.rows(u)] for u in shard]))
        for shard in shards
    ]
    parts = parallel(pass_over, jobs, run, what=what, unit="shards", lone=False)
    for shard, (_, found) in zip(shards, parts, strict=True):
        if found is not None:
            for u, own in zip(shard, np.split(found, np.cumsum(speech.counts[shard])[:-1]), strict=True):
                units[speech.rows(u)] = own
    return _sum([totals for totals, _ in parts])


def pass_over(
    source: Source, shard: np.ndarray, model: Model, units: np.ndarray | None
) -> tuple[Totals, np.ndarray | None]:
    """A job of `run_pass`: the totals of a shard and, where `units` (n,) of its frames are not given, new ones."""
    speech = open_speech(source)
    tables = None if units is not None else scorer(model.gmm)
    totals, aligned, begin = [], [], 0
    for block in split_by_frames(speech.counts, shard, BLOCK):
        x = block_observations(speech, block)
        failed: list[int] = []
        if tables is not None:
            found, failed = _align(speech, block, x, model, tables)
            aligned.append(found)
        elif units is not None:
            found = units[begin : begin + len(x)]
            begin += len(x)
        pdf = np.where(found >= 0, model.pdfs.ravel()[found], -1).astype(np.int32)
        stays, visits = _transitions(found, pdf, speech.counts[block], model.gmm.num_pdfs)
        totals.append(Totals(accumulate(model.gmm, x.numpy(), pdf), stays, visits, failed))
    return _sum(totals), np.concatenate(aligned) if aligned else None


def _sum(parts: list[Totals]) -> Totals:
    if not parts:
        raise ValueError("a pass over no utterances")
    total = deepcopy(parts[0])  # what comes back from Ray is read-only
    for part in parts[1:]:
        total.add(part)
    return total


def unit_moments(
    speech: Speech, chosen: np.ndarray, units: np.ndarray, num_units: int, run: RunConfig, what: str
) -> Statistics:
    """Count, sum and sum of squares of the observations of each unit: the statistics of one-Gaussian mixtures."""
    dimension = observations(speech.frames[:1], np.zeros(1, int), np.zeros(1, int)).shape[1]
    one = Gmm(
        np.arange(num_units + 1),
        np.ones(num_units),
        np.zeros((num_units, dimension)),
        np.ones((num_units, dimension)),
    )
    table = np.arange(num_units, dtype=np.int32)
    model = Model(table, one, np.full(num_units, 0.5))
    return run_pass(speech, chosen, model, units, run, what, realign=False).statistics


def split_by_frames(counts: np.ndarray, chosen: np.ndarray, frames: int) -> list[np.ndarray]:
    """Utterances in turn, about so many frames at a time."""
    place = np.cumsum(counts[chosen]) // frames
    return np.split(chosen, np.flatnonzero(np.diff(place)) + 1) if len(chosen) else []


def block_observations(speech: Speech, block: np.ndarray) -> torch.Tensor:
    counts = speech.counts[block]
    ends = np.cumsum(counts)
    mel = np.concatenate([speech.frames[speech.rows(u)] for u in block])
    return observations(mel, np.repeat(ends - counts, counts), np.repeat(ends - 1, counts))


def _align(
    speech: Speech, block: np.ndarray, x: torch.Tensor, model: Model, tables: Scorer
) -> tuple[np.ndarray, list[int]]:
    """The units (n,) of the best paths of a block, -1 where there is none; the utterances without a path."""
    units = np.full(len(x), -1, dtype=np.int32)
    failed = []
    begin = 0
    for u in block:
        end = begin + int(speech.counts[u])
        graph = speech.graphs[u]
        if graph is None:
            raise ValueError(f"utterance {u} was left out")
        # Half of the pdfs, or fewer, occur in an utterance.
        present, column = np.unique(model.pdfs.ravel()[graph.units], return_inverse=True)
        scores = log_likelihoods(tables, x[begin:end], present).numpy()  # (T, K)
        path, score = best_path(graph, column.astype(np.int32), scores, model.stay[present])
        if np.isfinite(score):
            units[begin:end] = graph.units[path]
        else:
            failed.append(int(u))
        begin = end
    return units, failed


def _transitions(
    units: np.ndarray, pdf: np.ndarray, counts: np.ndarray, num_pdfs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of each pdf (C,) that the same state follows, and all of them. Neighbouring states are never one unit."""
    same = np.append(units[1:] == units[:-1], False)
    same[np.cumsum(counts) - 1] = False
    seen = pdf >= 0
    stays = np.bincount(pdf[seen & same], minlength=num_pdfs)
    return stays.astype(np.float64), np.bincount(pdf[seen], minlength=num_pdfs).astype(np.float64)
