"""The search by Kaldi's own decoder, from kaldi-decoder: where no k2 can be had, and as a second opinion.

Its lattice decoder prunes by the beam alone: it knows no limits of the active states.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import kaldi_decoder
import kaldifst
import numpy as np
from numba import njit

from asrkd.decode.arpa import FINAL
from asrkd.decode.graph_arrays import GraphArrays, open_graph
from asrkd.decode.lattice import NO_PATH, Beam, Lattice
from asrkd.decode.openfst import write_const_fst
from asrkd.decode.search_job import run_job
from asrkd.decode.topology import Transducer

PRUNE_INTERVAL = 25  # frames, Kaldi's own


class Graph(NamedTuple):
    fst: kaldifst.StdConstFst
    arcs: GraphArrays
    ends: np.ndarray  # (states,) the best arc of each state into the final one, -1 where there is none


def load_graph(folder: Path) -> Graph:
    arrays = open_graph(folder)
    source, target, label = arrays.arcs[:, :3].T
    # An arc's output is its number from 1, so that a lattice says which it passed.
    output = np.arange(1, len(label) + 1, dtype=np.int32)
    with tempfile.TemporaryDirectory() as scratch:
        write_const_fst(Path(scratch) / "fst", Transducer(source, target, label, output, arrays.scores))
        fst = kaldifst.StdConstFst.read(f"{scratch}/fst")
    final = np.flatnonzero(label == FINAL)
    final = final[np.argsort(arrays.scores[final], kind="stable")]
    ends = np.full(int(arrays.arcs[:, :2].max()) + 1, -1)
    ends[source[final]] = final  # of several the last, which is the best
    return Graph(fst, arrays, ends)


def search(graph: Graph, loglikes: np.ndarray, beam: Beam) -> Lattice:
    """The lattice of one utterance of scaled log-likelihoods (T, C)."""
    config = kaldi_decoder.LatticeSimpleDecoderConfig()
    config.beam, config.lattice_beam, config.prune_interval = beam.search, beam.lattice, PRUNE_INTERVAL
    decoder = kaldi_decoder.LatticeSimpleDecoder(graph.fst, config)
    decodable = kaldi_decoder.DecodableCtc(np.ascontiguousarray(loglikes))  # takes label c + 1 for column c, as we do
    if not decoder.decode(decodable):
        return NO_PATH
    reached, raw = decoder.get_raw_lattice()
    if not reached:
        return NO_PATH
    return _lattice(graph, raw)


def _lattice(graph: Graph, raw: kaldifst.Lattice) -> Lattice:
    """A line of the text form is `state next input output graph,acoustic` (costs) or, of a final state, `state
    [graph,acoustic]`; without a trailing `,acoustic` or both where a cost is 0."""
    lines = [line.replace(",", " ").split() for line in raw.to_str().splitlines()]
    inner = np.array([fields[:4] for fields in lines if len(fields) > 3], dtype=np.int32)  # (L, 4)
    costs = [float(fields[5]) if len(fields) > 5 else 0.0 for fields in lines if len(fields) > 3]
    ending = np.array([int(fields[0]) for fields in lines if fields and len(fields) <= 3])
    # The arc of the graph that ends a path follows from the state that the arc before has led to.
    into = np.zeros(int(inner[:, :2].max()) + 1, dtype=np.int64)
    into[inner[:, 1]] = inner[:, 3] - 1
    last = graph.ends[graph.arcs.arcs[into[ending], 1]]
    final = len(into)
    arcs = np.concatenate(
        [
            np.column_stack([inner[:, :3], inner[:, 3] - 1]),
            np.column_stack([ending, np.full(len(ending), final), np.full(len(ending), FINAL), last]),
        ]
    ).astype(np.int32)
    acoustic = np.concatenate([-np.array(costs), np.zeros(len(ending))])
    # Epsilons lead from state to state of the same frame, in any order.
    number = _in_topological_order(arcs, final + 1, raw.start)
    arcs[:, :2] = number[arcs[:, :2]]
    order = np.argsort(arcs[:, 0], kind="stable")
    return Lattice(arcs[order], acoustic[order])


@njit(cache=True)
def _in_topological_order(arcs, states, start):  # type: ignore[no-untyped-def]
    """(states,) a number for each such that every arc leads to a higher one: 0 is the start, and the state that all
    reach comes last (Kahn 1962)."""
    waiting = np.zeros(states, dtype=np.int64)
    first = np.zeros(states + 1, dtype=np.int64)
    for a in range(len(arcs)):
        waiting[arcs[a, 1]] += 1
        first[arcs[a, 0] + 1] += 1
    first = np.cumsum(first)
    place = first.copy()
    target = np.empty(len(arcs), dtype=np.int64)
    for a in range(len(arcs)):
        target[place[arcs[a, 0]]] = arcs[a, 1]
        place[arcs[a, 0]] += 1
    number = np.full(states, -1, dtype=np.int32)
    ready, done = [np.int64(start)], 0
    while len(ready) > 0:
        state = ready.pop()
        number[state] = done
        done += 1
        for a in range(first[state], first[state + 1]):
            waiting[target[a]] -= 1
            if waiting[target[a]] == 0:
                ready.append(target[a])
    return number


def main(arguments: list[str]) -> None:
    run_job(Path(arguments[0]), load_graph, search)
