"""The search: posteriors through HLG to words, for a grid of scales at once. Runs under k2's interpreter.

One pruned search makes a lattice; every (LM scale, word insertion penalty) of the grid then has its best path in it:

    score = acoustic + lm_scale * graph - penalty * words

where `acoustic` is acoustic_scale * (log p(pdf | frame) - log prior(pdf)), and `graph` holds the language model's and
the lexicon's scores. The search itself is made with an LM scale of 1 and no penalty.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import k2
import numpy as np
import torch

from asrkd.decode.hlg import load_graph
from asrkd.decode.interpreter import command
from asrkd.experiment import read_json, read_jsonl, write_json, write_jsonl
from asrkd.progress import track

WIDER = (1.0, 1.5, 2.25)  # beams tried in turn on an utterance without a surviving path
UTTERANCES_A_BLOCK = 10  # lattices that are searched for best paths together


class Beam(NamedTuple):
    search: float  # log-probability below the best state at which a state is dropped
    lattice: float  # the same of whole paths, in the lattice
    min_active: int
    max_active: int

    def times(self, factor: float) -> Beam:
        return Beam(self.search * factor, self.lattice, self.min_active, int(self.max_active * factor))


class Graph(NamedTuple):
    fsa: k2.Fsa
    scores: np.ndarray  # (A,) float32, of the arcs
    words: np.ndarray  # of all arcs: arc a has words[first[a] : first[a + 1]]
    first: np.ndarray  # (A + 1,)


class Lattice(NamedTuple):
    """An utterance's surviving arcs, without those on no path within the lattice beam. No arcs: no path survived."""

    arcs: np.ndarray  # (L, 3) int32: state, next state, label
    acoustic: np.ndarray  # (L,) float64
    graph_arc: np.ndarray  # (L,) which arc of the graph it came from
    beam: Beam  # that was needed


def open_graph(folder: Path) -> Graph:
    fsa, words, first = load_graph(folder)
    return Graph(fsa, fsa.scores.numpy(), words, first)


@torch.no_grad()
def search(graph: Graph, loglikes: np.ndarray, beam: Beam) -> Lattice:
    """The lattice of one utterance of scaled log-likelihoods (T, C).

    One utterance at a time is the fastest on a CPU: k2's state tables then stay in the cache. A beam without a
    surviving path is widened, up to the last factor of WIDER.
    """
    frames = torch.zeros(1, len(loglikes), loglikes.shape[1] + 1)  # (1, T, C + 1): label 0 is on no arc
    frames[0, :, 1:] = torch.from_numpy(loglikes)
    dense = k2.DenseFsaVec(frames, torch.tensor([[0, 0, len(loglikes)]], dtype=torch.int32))
    wider = beam
    for factor in WIDER:
        wider = beam.times(factor)
        found = k2.intersect_dense_pruned(graph.fsa, dense, *wider)
        if found.num_arcs:
            return _pruned(graph, found, wider)
    return Lattice(np.zeros((0, 3), np.int32), np.zeros(0), np.zeros(0, np.int32), wider)


def _pruned(graph: Graph, found: k2.Fsa, beam: Beam) -> Lattice:
    """Only the arcs on a path within the lattice beam: some 20 a frame, where k2's own pruning leaves a thousand."""
    below_best = found.get_arc_post(
        use_double_scores=True, log_semiring=False
    ).numpy()  # (arcs,), of the best path through
    kept = np.flatnonzero(below_best >= -beam.lattice)
    table = found.arcs.values().numpy()[kept]  # (L, 4), the last column the bits of the score
    arcs = table[:, :3].copy()
    # States are numbered anew in the same order: the first stays the start, the last the final state.
    arcs[:, :2] = np.unique(arcs[:, :2], return_inverse=True)[1].reshape(-1, 2)
    graph_arc = found.graph_arc.numpy()[kept]
    acoustic = table[:, 3].copy().view(np.float32).astype(np.float64) - graph.scores[graph_arc]
    return Lattice(arcs, acoustic, graph_arc, beam)


@torch.no_grad()
def best_paths(
    graph: Graph, lattices: Sequence[Lattice], grid: Iterable[tuple[float, float]]
) -> Iterator[list[tuple[float, list[int]]]]:
    """For each (LM scale, penalty) of the grid the best path of each lattice: its score and word ids.

    A lattice without arcs gives -inf and no words.
    """
    full = [number for number, lattice in enumerate(lattices) if len(lattice.arcs)]
    nothing: tuple[float, list[int]] = (-np.inf, [])
    if not full:
        for _ in grid:
            yield [nothing] * len(lattices)
        return
    unscored = [np.pad(lattices[number].arcs, ((0, 0), (0, 1))) for number in full]  # (L, 4)
    vector = k2.create_fsa_vec([k2.Fsa(torch.from_numpy(arcs)) for arcs in unscored])
    vector.lattice_arc = torch.arange(vector.num_arcs, dtype=torch.int32)
    acoustic = np.concatenate([lattices[number].acoustic for number in full])
    graph_arc = np.concatenate([lattices[number].graph_arc for number in full])
    scores = graph.scores[graph_arc].astype(np.float64)
    num_words = graph.first[graph_arc + 1] - graph.first[graph_arc]
    for lm_scale, penalty in grid:
        total = acoustic + lm_scale * scores - penalty * num_words
        vector.scores = torch.from_numpy(total.astype(np.float32))
        path = k2.shortest_path(vector, use_double_scores=True)
        bounds = path.arcs.row_splits(2)[path.arcs.row_splits(1).long()].tolist()  # of each utterance's arcs
        arcs = path.lattice_arc.numpy()
        found = [nothing] * len(lattices)
        for position, number in enumerate(full):
            on_path = arcs[bounds[position] : bounds[position + 1]]
            passed = graph_arc[on_path]
            words = [word for arc in passed for word in graph.words[graph.first[arc] : graph.first[arc + 1]].tolist()]
            found[number] = (float(total[on_path].sum()), words)
        yield found


def decode(
    graph: Graph,
    utterances: Iterable[tuple[str, np.ndarray]],
    acoustic_scale: float,
    beam: Beam,
    grid: Sequence[tuple[float, float]],
) -> Iterator[tuple[str, list[list[int]], Lattice]]:
    """For each utterance (id, log-likelihoods (T, C)): id, word ids for each point of the grid, lattice."""
    stream = iter(utterances)
    while True:
        block = list(islice(stream, UTTERANCES_A_BLOCK))
        if not block:
            return
        scale = np.float32(acoustic_scale)
        lattices = [search(graph, np.asarray(loglikes, np.float32) * scale, beam) for _, loglikes in block]
        points = list(best_paths(graph, lattices, grid))
        for number, (name, _) in enumerate(block):
            yield name, [point[number][1] for point in points], lattices[number]


def main(arguments: list[str]) -> None:
    """`JOB`: a JSON file with graph, vocabulary, loglikes, utterances, acoustic_scale, beam, grid, hypotheses, report.

    Writes `hypotheses`, a row {"id", "texts": [a text for each point of the grid]} an utterance, and `report`.
    """
    job = read_json(Path(arguments[0]))
    torch.set_num_threads(1)
    began = time.monotonic()
    graph = open_graph(Path(job["graph"]))
    loading = time.monotonic() - began
    vocabulary = ["", *Path(job["vocabulary"]).read_text(encoding="utf-8").split()]
    loglikes = np.load(job["loglikes"], mmap_mode="r")
    table = read_jsonl(Path(job["utterances"]))
    beam = Beam(**job["beam"])
    utterances = ((row["id"], loglikes[row["first"] : row["first"] + row["frames"]]) for row in table)

    began = time.monotonic()
    rows, without, widened, arcs = [], [], [], 0
    decoded = decode(graph, utterances, job["acoustic_scale"], beam, [tuple(point) for point in job["grid"]])
    for name, points, lattice in track(decoded, what=job["what"], total=len(table), unit="utterances"):
        rows.append({"id": name, "texts": [" ".join(vocabulary[word] for word in words) for words in points]})
        arcs += len(lattice.arcs)
        if not len(lattice.arcs):
            without.append(name)
        elif lattice.beam != beam:
            widened.append(name)
    write_jsonl(Path(job["hypotheses"]), rows)
    report = {
        "utterances": len(rows),
        "frames": len(loglikes),
        "loading_seconds": round(loading, 2),
        "search_seconds": round(time.monotonic() - began, 2),
        "lattice_arcs_a_frame": round(arcs / max(len(loglikes), 1), 1),
        "decoded_with_a_wider_beam": widened,
        "without_path": without,
    }
    write_json(Path(job["report"]), report)


if __name__ == "__main__":
    command(main, sys.argv[1:])
