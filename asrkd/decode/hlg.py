"""HLG in k2: L o G determinised and free of epsilons, then H o LG. Runs under k2's interpreter.

The order of the operations is icefall's (compile_hlg.py).
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import k2
import numpy as np
import torch

from asrkd.decode.arpa import read_grammar
from asrkd.decode.graph_arrays import GraphArrays, save_graph
from asrkd.decode.interpreter import command
from asrkd.decode.lexicon import lexicon_transducer, word_ids
from asrkd.decode.topology import Transducer, left_biphone_topology
from asrkd.errors import UserError
from asrkd.experiment import read_json, write_json

REPORT = "report.json"


def compile_hlg(h: Transducer, lexicon: Any, grammar: Any, times: dict[str, float]) -> k2.Fsa:
    """H o (L o G), arc-sorted, with the ragged attribute `aux_labels` of word ids. `times` receives seconds by step."""
    clock = _Clock(times)
    l_fst = k2.arc_sort(_fsa(lexicon.transducer, lexicon.transducer.output))
    g_fsa = k2.arc_sort(_fsa(grammar))
    graph = k2.connect(k2.compose(l_fst, g_fsa))
    clock.note("L o G", graph)
    # Scores pushed towards the start are LM look-ahead; without it the same WER needs several times the active states.
    graph = k2.connect(k2.determinize(graph, k2.DeterminizeWeightPushingType.kLogWeightPushing))
    clock.note("determinise", graph)
    graph.labels[graph.labels >= lexicon.first_disambiguation] = 0
    graph.__dict__["_properties"] = None  # k2 keeps what it knew of the labels before
    graph.aux_labels.values[graph.aux_labels.values >= lexicon.backoff] = 0
    graph = k2.connect(k2.remove_epsilon(graph))
    graph.aux_labels = graph.aux_labels.remove_values_eq(0)
    graph = k2.arc_sort(graph)
    clock.note("remove epsilons", graph)
    graph = k2.arc_sort(k2.connect(k2.compose(_fsa(h, h.output), graph)))
    clock.note("H o LG", graph)
    return graph


def arrays(graph: k2.Fsa) -> GraphArrays:
    words = graph.aux_labels.remove_values_leq(0)
    return GraphArrays(graph.arcs.values().numpy(), words.values.numpy(), words.shape.row_splits(1).numpy())


def _fsa(arcs: Any, output: np.ndarray | None = None) -> k2.Fsa:
    columns = [torch.from_numpy(np.ascontiguousarray(column, dtype=np.int32)) for column in arcs[:3]]
    scores = torch.from_numpy(np.ascontiguousarray(arcs.score, dtype=np.float32))
    # k2 wants the arcs sorted by the state they leave.
    order = torch.from_numpy(np.argsort(arcs.src, kind="stable"))
    table = torch.stack([*columns, scores.view(torch.int32)], dim=1)[order]
    fsa = k2.Fsa(table)
    if output is not None:
        fsa.aux_labels = torch.from_numpy(np.ascontiguousarray(output, dtype=np.int32))[order]
    return fsa


class _Clock:
    def __init__(self, times: dict[str, float]) -> None:
        self.times = times
        self.last = time.monotonic()

    def note(self, step: str, graph: k2.Fsa) -> None:
        now = time.monotonic()
        self.times[step] = round(now - self.last, 2)
        states, arcs = graph.shape[0], graph.num_arcs
        print(f"HLG: {step}: {states:,} states, {arcs:,} arcs, {self.times[step]:.1f} s", flush=True)
        self.last = now


def main(arguments: list[str]) -> None:
    """`JOB`: a JSON file with pdfs, phones, vocabulary, lexicon, lm and graph (paths)."""
    job = {key: Path(path) for key, path in read_json(Path(arguments[0])).items()}
    began = time.monotonic()
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
    times = {"read": round(time.monotonic() - began, 2)}
    print(f"HLG: G has {grammar.dst.max() + 1:,} states, {len(grammar.src):,} arcs, {times['read']:.1f} s", flush=True)
    graph = compile_hlg(left_biphone_topology(pdfs), lexicon, grammar, times)
    if graph.num_arcs == 0:
        raise UserError(f"{job['lm']}: expected sentences of the lexicon's words, found none; run stage 2 again")
    began = time.monotonic()
    save_graph(job["graph"], arrays(graph))
    times["save"] = round(time.monotonic() - began, 2)
    report = {
        "words": len(words),
        "grammar_arcs": len(grammar.src),
        "states": graph.shape[0],
        "arcs": graph.num_arcs,
        "seconds": times,
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    write_json(job["graph"] / REPORT, report)


if __name__ == "__main__":
    command(main, sys.argv[1:])
