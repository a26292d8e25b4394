"""One pass over the speech: align it, collect statistics, or both, in blocks of utterances on several threads.

The heavy parts (matrix products, compiled loops) hold no Python lock, so one process uses every core without copying.
Blocks do not depend on the number of threads and their sums are added in order: neither does the result.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from asrkd.align.gmm import Gmm, Scorer, Statistics, accumulate, log_likelihoods, scorer
from asrkd.align.graphs import Graphs
from asrkd.align.observations import observations
from asrkd.align.viterbi import best_path

BLOCK = 10_000  # frames


@dataclass(frozen=True)
class Model:
    """GMM-HMMs: the pdf of every unit (P, P, 3), the mixtures, the probability of each pdf's self-loop (C,)."""

    pdfs: np.ndarray
    gmm: Gmm
    stay: np.ndarray


@dataclass
class Speech:
    """Utterances with their frames and graphs, both memory-mapped."""

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


def run_pass(
    speech: Speech, chosen: np.ndarray, model: Model, units: np.ndarray, threads: int, *, realign: bool
) -> Totals:
    """Collect statistics of the utterances `chosen` under `model`, aligned as `units` (N,) says, or anew (into
    `units`).
    """
    tables = scorer(model.gmm) if realign else None

    def work(block: np.ndarray) -> Totals:
        x = block_observations(speech, block)
        failed = _align(speech, block, x, model, tables, units) if tables else []
        found = np.concatenate([units[speech.rows(u)] for u in block])  # (n,)
        pdf = np.where(found >= 0, model.pdfs.ravel()[found], -1).astype(np.int32)
        stays, visits = _transitions(found, pdf, speech.counts[block], model.gmm.num_pdfs)
        return Totals(accumulate(model.gmm, x.numpy(), pdf), stays, visits, failed)

    total: Totals | None = None
    for part in in_order(work, blocks(speech.counts, chosen), threads):
        if total is None:
            total = part
        else:
            total.add(part)
    if total is None:
        raise ValueError("a pass over no utterances")
    return total


def unit_moments(speech: Speech, chosen: np.ndarray, units: np.ndarray, num_units: int, threads: int) -> Statistics:
    """Count, sum and sum of squares of the observations of each unit: the statistics of one-Gaussian mixtures."""
    dimension = observations(speech.frames[:1], np.zeros(1, int), np.zeros(1, int)).shape[1]
    one = Gmm(
        np.arange(num_units + 1),
        np.ones(num_units),
        np.zeros((num_units, dimension)),
        np.ones((num_units, dimension)),
    )
    table = np.arange(num_units, dtype=np.int32)
    return run_pass(
        speech, chosen, Model(table, one, np.full(num_units, 0.5)), units, threads, realign=False
    ).statistics


def blocks(counts: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """Utterances in turn, about BLOCK frames at a time."""
    place = np.cumsum(counts[chosen]) // BLOCK
    return np.split(chosen, np.flatnonzero(np.diff(place)) + 1) if len(chosen) else []


def block_observations(speech: Speech, block: np.ndarray) -> torch.Tensor:
    counts = speech.counts[block]
    ends = np.cumsum(counts)
    mel = np.concatenate([speech.frames[speech.rows(u)] for u in block])
    return observations(mel, np.repeat(ends - counts, counts), np.repeat(ends - 1, counts))


def in_order(work, items: Sequence[np.ndarray], threads: int) -> Iterator[Totals]:  # type: ignore[no-untyped-def]
    import joblib

    pool = joblib.Parallel(n_jobs=threads, backend="threading", return_as="generator", pre_dispatch="2*n_jobs")
    return pool(joblib.delayed(work)(item) for item in items)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Each of our threads does its own sums; torch's would get in their way (and make sums depend on their number)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _align(
    speech: Speech, block: np.ndarray, x: torch.Tensor, model: Model, tables: Scorer, units: np.ndarray
) -> list[int]:
    """Best paths of a block into `units` (-1 where there is none); the utterances without a path."""
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
            units[speech.rows(u)] = graph.units[path]
        else:
            units[speech.rows(u)] = -1
            failed.append(int(u))
        begin = end
    return failed


def _transitions(
    units: np.ndarray, pdf: np.ndarray, counts: np.ndarray, num_pdfs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of each pdf (C,) that the same state follows, and all of them. Neighbouring states are never one unit."""
    same = np.append(units[1:] == units[:-1], False)
    same[np.cumsum(counts) - 1] = False
    seen = pdf >= 0
    stays = np.bincount(pdf[seen & same], minlength=num_pdfs)
    return stays.astype(np.float64), np.bincount(pdf[seen], minlength=num_pdfs).astype(np.float64)
