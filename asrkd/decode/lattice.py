"""Lattices as files, between the interpreter that searches and this one. The standard library and numpy alone.

An utterance's lattice is what the search let survive, as arcs of (state, next state, label, arc of the graph). States
are numbered in the order of time: 0 is the start, the highest the final one, and every arc leads to a higher state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkd.files import write_npy

ARCS, ACOUSTIC, FIRST = "lattice_arcs.npy", "lattice_acoustic.npy", "lattice_first.npy"
WIDER = (1.0, 1.5, 2.25)  # beams tried in turn on an utterance without a surviving path


class Beam(NamedTuple):
    search: float  # log-probability below the best state at which a state is dropped
    lattice: float  # the same of whole paths, in the lattice
    min_active: int
    max_active: int

    def times(self, factor: float) -> Beam:
        return Beam(self.search * factor, self.lattice, self.min_active, int(self.max_active * factor))


class Lattice(NamedTuple):
    """Without arcs where no path survived."""

    arcs: np.ndarray  # (L, 4) int32: state, next state, label, arc of the graph; sorted by state
    acoustic: np.ndarray  # (L,) float64: acoustic_scale * (log p(pdf | frame) - log prior(pdf))


NO_PATH = Lattice(np.zeros((0, 4), np.int32), np.zeros(0))


def write_lattices(folder: Path, lattices: Sequence[Lattice]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_npy(folder / ARCS, np.concatenate([lattice.arcs for lattice in lattices]))
    write_npy(folder / ACOUSTIC, np.concatenate([lattice.acoustic for lattice in lattices]))
    write_npy(folder / FIRST, np.cumsum([0, *(len(lattice.arcs) for lattice in lattices)]))


def read_lattices(folder: Path) -> Iterator[Lattice]:
    """One after the other, from memory maps."""
    arcs, acoustic = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (ARCS, ACOUSTIC))
    first = np.load(folder / FIRST, allow_pickle=False)
    for begin, end in zip(first[:-1], first[1:]):  # noqa: B905, RUF007  (Python 3.8 under k2)
        yield Lattice(np.array(arcs[begin:end]), np.array(acoustic[begin:end]))
