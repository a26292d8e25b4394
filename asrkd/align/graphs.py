"""The graphs of a split's utterances, on disk: at 12 kB a second of speech, those of a large corpus fit no memory, and
each job maps those that it needs."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from asrkd.align.topology import Graph
from asrkd.files import replacing, write_npy

WORDS, ENDS, STATES = "graphs.bin", "graph_ends.npy", "graph_states.npy"


@dataclass(frozen=True)
class Graphs:
    """`graphs[u]` is utterance u's, or None where it was left out."""

    words: np.ndarray  # memory-mapped 4-byte words: the arrays of one graph after the other, in the order of its fields
    ends: np.ndarray  # (U,) int64, where each graph ends in `words`
    states: np.ndarray  # (U,) int64, 0 where there is no graph

    @property
    def usable(self) -> np.ndarray:
        """The numbers of the utterances that have a graph."""
        return np.flatnonzero(self.states)

    def __getitem__(self, utterance: int) -> Graph | None:
        states = int(self.states[utterance])
        if states == 0:
            return None
        begin = int(self.ends[utterance - 1]) if utterance else 0
        arcs = (int(self.ends[utterance]) - begin - 4 * states - 1) // 2
        lengths = (states, states + 1, arcs, arcs, states, states)  # of the fields
        parts = np.split(self.words[begin : self.ends[utterance]], np.cumsum(lengths)[:-1])
        units, arc_first, arc_source, arc_weight, start, final = parts
        floats = (array.view(np.float32) for array in (arc_weight, start, final))
        return Graph(units, arc_first, arc_source, *floats)


def write_graphs(graphs: Iterable[Graph | None], folder: Path) -> None:
    lengths, states = [], []
    with replacing(folder / WORDS) as temporary, open(temporary, "wb") as file:
        for graph in graphs:
            arrays = [] if graph is None else [getattr(graph, each.name) for each in fields(graph)]
            lengths.append(sum(map(len, arrays)))
            states.append(0 if graph is None else len(graph.units))
            for array in arrays:
                file.write(array.tobytes())
    write_npy(folder / ENDS, np.cumsum(lengths))
    write_npy(folder / STATES, np.array(states, dtype=np.int64))


def open_graphs(folder: Path) -> Graphs:
    ends, states = np.load(folder / ENDS, allow_pickle=False), np.load(folder / STATES, allow_pickle=False)
    # An empty file cannot be mapped.
    words = np.memmap(folder / WORDS, dtype=np.int32, mode="r") if states.any() else np.empty(0, dtype=np.int32)
    return Graphs(words, ends, states)


def delete_graphs(folder: Path) -> None:
    for name in (WORDS, ENDS, STATES):
        (folder / name).unlink(missing_ok=True)
