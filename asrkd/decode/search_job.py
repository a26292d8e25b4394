"""What a search does with each utterance, whichever decoder makes it. The standard library and numpy alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.decode.lattice import NO_PATH, WIDER, Beam, Lattice, write_lattices
from asrkd.files import read_json, read_jsonl, write_json
from asrkd.progress import track


def widened(
    graph: Any, loglikes: np.ndarray, beam: Beam, search: Callable[[Any, np.ndarray, Beam], Lattice]
) -> tuple[Lattice, Beam]:
    """The lattice, and the beam that was needed: one without a surviving path is widened, up to the last of WIDER."""
    wider = beam
    for factor in WIDER:
        wider = beam.times(factor)
        lattice = search(graph, loglikes, wider)
        if len(lattice.arcs):
            return lattice, wider
    return NO_PATH, wider


def run_job(path: Path, load_graph: Callable[[Path], Any], search: Callable[[Any, np.ndarray, Beam], Lattice]) -> None:
    """path: a JSON file with what, graph, loglikes, utterances, acoustic_scale, beam, lattices, report.

    Writes the folder `lattices`, in the order of `utterances`, and `report`.
    """
    job = read_json(path)
    began = time.monotonic()
    graph = load_graph(Path(job["graph"]))
    loading = time.monotonic() - began
    loglikes = np.load(job["loglikes"], mmap_mode="r")
    table = read_jsonl(Path(job["utterances"]))
    beam, scale = Beam(**job["beam"]), np.float32(job["acoustic_scale"])

    began = time.monotonic()
    lattices, without, wider = [], [], []
    for row in track(table, what=job["what"], unit="utterances"):
        own = np.asarray(loglikes[row["first"] : row["first"] + row["frames"]], np.float32) * scale
        lattice, needed = widened(graph, own, beam, search)
        lattices.append(lattice)
        if not len(lattice.arcs):
            without.append(row["id"])
        elif needed != beam:
            wider.append(row["id"])
    seconds = time.monotonic() - began
    frames = sum(row["frames"] for row in table)
    write_lattices(Path(job["lattices"]), lattices)
    report = {
        "utterances": len(lattices),
        "frames": frames,
        "loading_seconds": round(loading, 2),
        "search_seconds": round(seconds, 2),
        "lattice_arcs_a_frame": round(sum(len(lattice.arcs) for lattice in lattices) / max(frames, 1), 1),
        "decoded_with_a_wider_beam": wider,
        "without_path": without,
    }
    write_json(Path(job["report"]), report)
