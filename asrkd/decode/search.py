"""The search: log-likelihoods through HLG to lattices, by k2. Runs under k2's interpreter.

It is made with an LM scale of 1 and no penalty; decode/paths.py finds the words at any scales in the lattice.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import k2
import numpy as np
import torch

from asrkd.decode.graph_arrays import open_graph
from asrkd.decode.interpreter import command
from asrkd.decode.lattice import NO_PATH, Beam, Lattice
from asrkd.decode.search_job import run_job


class Graph(NamedTuple):
    fsa: k2.Fsa
    scores: np.ndarray  # (A,) float32, of the arcs


def load_graph(folder: Path) -> Graph:
    arrays = open_graph(folder)
    fsa = k2.Fsa(torch.from_numpy(arrays.arcs))
    fsa.graph_arc = torch.arange(len(arrays.arcs), dtype=torch.int32)
    return Graph(fsa, fsa.scores.numpy())


@torch.no_grad()
def search(graph: Graph, loglikes: np.ndarray, beam: Beam) -> Lattice:
    """The lattice of one utterance of scaled log-likelihoods (T, C).

    One utterance at a time is the fastest on a CPU: k2's state tables then stay in the cache.
    """
    frames = torch.zeros(1, len(loglikes), loglikes.shape[1] + 1)  # (1, T, C + 1): label 0 is on no arc
    frames[0, :, 1:] = torch.from_numpy(loglikes)
    dense = k2.DenseFsaVec(frames, torch.tensor([[0, 0, len(loglikes)]], dtype=torch.int32))
    found = k2.intersect_dense_pruned(graph.fsa, dense, *beam)
    if not found.num_arcs:
        return NO_PATH
    # Only the arcs on a path within the lattice beam: some 20 a frame, where k2's own pruning leaves a thousand.
    below_best = found.get_arc_post(use_double_scores=True, log_semiring=False).numpy()  # of the best path through
    kept = np.flatnonzero(below_best >= -beam.lattice)
    table = found.arcs.values().numpy()[kept]  # (L, 4), the last column the bits of the score
    arcs = table.copy()
    # States are numbered anew in the same order: the first stays the start, the last the final state.
    arcs[:, :2] = np.unique(arcs[:, :2], return_inverse=True)[1].reshape(-1, 2)
    arcs[:, 3] = found.graph_arc.numpy()[kept]
    acoustic = table[:, 3].copy().view(np.float32).astype(np.float64) - graph.scores[arcs[:, 3]]
    return Lattice(arcs, acoustic)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    run_job(Path(arguments[0]), load_graph, search)


if __name__ == "__main__":
    command(main, sys.argv[1:])
