"""What building a graph begins and ends with, whichever library composes it. The standard library and numpy alone."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.decode.arpa import Arcs, read_grammar
from asrkd.decode.graph_arrays import GraphArrays, save_graph
from asrkd.decode.lexicon import Lexicon, lexicon_transducer, word_ids
from asrkd.decode.topology import Transducer, left_biphone_topology
from asrkd.errors import UserError
from asrkd.files import read_json, write_json

REPORT = "report.json"


class Clock:
    """Seconds of each step of the composition, and what came of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def note(self, step: str, found: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self.last, 2)
        print(f"HLG: {step}: {found}, {self.seconds[step]:.1f} s", flush=True)
        self.last = now


def run_job(path: Path, built_by: str, compose: Callable[[Transducer, Lexicon, Arcs, Clock], GraphArrays]) -> None:
    """path: a JSON file with pdfs, phones, vocabulary, lexicon, lm and graph (paths)."""
    job: dict[str, Path] = {key: Path(value) for key, value in read_json(path).items()}
    clock = Clock()
    phones = job["phones"].read_text(encoding="utf-8").split()
    words = word_ids(job["vocabulary"].read_text(encoding="utf-8").split())
    pdfs = np.load(job["pdfs"])
    if pdfs.shape[:2] != (len(phones), len(phones)):
        raise UserError(
            f"{job['pdfs']}: expected pdfs of the {len(phones)} phones of {job['phones']}, found {pdfs.shape}; "
            "run stage 3 again"
        )
    with open(job["lexicon"], encoding="utf-8") as file:
        entries = [(fields[0], fields[1:]) for fields in map(str.split, file) if fields]
    lexicon = lexicon_transducer(entries, words, phones)
    grammar = read_grammar(job["lm"], words, lexicon.backoff)
    clock.note("read G", sizes(int(grammar.dst.max()) + 1, len(grammar.src)))
    graph = compose(left_biphone_topology(pdfs), lexicon, grammar, clock)
    if not len(graph.arcs):
        raise UserError(f"{job['lm']}: expected sentences of the lexicon's words, found none; run stage 2 again")
    states = int(graph.arcs[:, :2].max()) + 1
    save_graph(job["graph"], graph)
    clock.note("save", sizes(states, len(graph.arcs)))
    report: dict[str, Any] = {
        "built_by": built_by,
        "words": len(words),
        "grammar_arcs": len(grammar.src),
        "states": states,
        "arcs": len(graph.arcs),
        "seconds": clock.seconds,
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    write_json(job["graph"] / REPORT, report)


def sizes(states: int, arcs: int) -> str:
    return f"{states:,} states, {arcs:,} arcs"
