"""The graphs of a split's utterances, on disk: at 12 kB a second of speech, those of a large corpus fit no memory."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from asrkd.align.topology import Graph
from asrkd.experiment import replacing


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


def write_graphs(graphs: Iterable[Graph | None], folder: Path) -> Graphs:
    """They live on in a file of `folder` that has lost its name, so that it goes when the process does."""
    path = folder / "graphs.bin"
    lengths, states = [], []
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for graph in graphs:
            arrays = [] if graph is None else [getattr(graph, each.name) for each in fields(graph)]
            lengths.append(sum(map(len, arrays)))
            states.append(0 if graph is None else len(graph.units))
            for array in arrays:
                file.write(array.tobytes())
    words = np.memmap(path, dtype=np.int32, mode="r") if sum(lengths) else np.empty(0, dtype=np.int32)
    path.unlink()
    return Graphs(words, np.cumsum(lengths), np.array(states, dtype=np.int64))
