"""Run under k2 by test_hlg.py: build each case's graph and the lattice of its log-likelihoods at a wide beam."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from asrkd.decode import hlg
from asrkd.decode.interpreter import command
from asrkd.decode.lattice import Beam, write_lattices
from asrkd.decode.search import load_graph, search

WIDE = Beam(1000.0, 1000.0, 1, 1_000_000)


def main(arguments: list[str]) -> None:
    for folder in map(Path, arguments):
        case = json.loads((folder / "case.json").read_text())
        hlg.main([str(folder / "k2.json")])
        loglikes = np.load(folder / "loglikes.npy") * np.float32(case["acoustic_scale"])
        write_lattices(folder / "k2" / "lattices", [search(load_graph(folder / "k2"), loglikes, WIDE)])


if __name__ == "__main__":
    command(main, sys.argv[1:])
