"""The decoding graph on disk: plain arrays, no pickle. The standard library and numpy alone.

The arcs stand as k2 holds them, sorted by the state they leave: state, next state, label (pdf + 1, or -1 into the final
state), and the bits of the float32 score. An arc may have several words, once epsilons are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkd.files import write_npy

ARCS, WORDS, FIRST_WORDS = "arcs.npy", "words.npy", "first_words.npy"


class GraphArrays(NamedTuple):
    """Memory-mapped. Arc a has words[first[a] : first[a + 1]]."""

    arcs: np.ndarray  # (A, 4) int32
    words: np.ndarray  # int32 word ids, from 1
    first: np.ndarray  # (A + 1,)

    @property
    def scores(self) -> np.ndarray:
        """(A,) float32."""
        return self.arcs[:, 3].view(np.float32)


def save_graph(folder: Path, graph: GraphArrays) -> None:
    for name, array in zip((ARCS, WORDS, FIRST_WORDS), graph):  # noqa: B905  (Python 3.8 under k2)
        write_npy(folder / name, array)


def open_graph(folder: Path) -> GraphArrays:
    # Copy-on-write, since torch knows no read-only memory.
    return GraphArrays(
        *(np.load(folder / name, mmap_mode="c", allow_pickle=False) for name in (ARCS, WORDS, FIRST_WORDS))
    )
