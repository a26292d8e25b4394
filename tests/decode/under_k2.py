"""Run under k2 by test_hlg.py: build each case's graph and decode its log-likelihoods at a wide beam."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from asrkd.decode import hlg
from asrkd.decode.interpreter import command
from asrkd.decode.search import Beam, best_paths, open_graph, search

WIDE = Beam(1000.0, 1000.0, 1, 1_000_000)


def main(arguments: list[str]) -> None:
    for folder in map(Path, arguments):
        case = json.loads((folder / "case.json").read_text())
        hlg.main([str(folder / "hlg.json")])
        graph = open_graph(folder)
        lattice = search(graph, np.load(folder / "loglikes.npy") * np.float32(case["acoustic_scale"]), WIDE)
        paths = best_paths(graph, [lattice], case["grid"])
        found = [{"score": path[0][0], "words": path[0][1]} for path in paths]
        (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    command(main, sys.argv[1:])
