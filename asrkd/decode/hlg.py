"""HLG in k2: L o G determinised and free of epsilons, then H o LG. Runs under k2's interpreter.

The order of the operations is icefall's (compile_hlg.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import k2
import numpy as np
import torch

from asrkd.decode.graph_arrays import GraphArrays
from asrkd.decode.hlg_job import Clock, run_job, sizes
from asrkd.decode.interpreter import command
from asrkd.decode.lexicon import Lexicon
from asrkd.decode.topology import Transducer


def compose(h: Transducer, lexicon: Lexicon, grammar: Any, clock: Clock) -> GraphArrays:
    """H o (L o G), arc-sorted, without epsilons."""

    def note(step: str, graph: k2.Fsa) -> None:
        clock.note(step, sizes(graph.shape[0], graph.num_arcs))

    l_fst = k2.arc_sort(fsa_of(lexicon.transducer, lexicon.transducer.output))
    g_fsa = k2.arc_sort(fsa_of(grammar))
    graph = k2.connect(k2.compose(l_fst, g_fsa))
    note("L o G", graph)
    # Scores pushed towards the start are LM look-ahead; without it the same WER needs several times the active states.
    graph = k2.connect(k2.determinize(graph, k2.DeterminizeWeightPushingType.kLogWeightPushing))
    note("determinise", graph)
    graph.labels[graph.labels >= lexicon.first_disambiguation] = 0
    graph.__dict__["_properties"] = None  # k2 keeps what it knew of the labels before
    graph.aux_labels.values[graph.aux_labels.values >= lexicon.backoff] = 0
    graph = k2.connect(k2.remove_epsilon(graph))
    graph.aux_labels = graph.aux_labels.remove_values_eq(0)
    graph = k2.arc_sort(graph)
    note("remove epsilons", graph)
    graph = k2.arc_sort(k2.connect(k2.compose(fsa_of(h, h.output), graph)))
    note("H o LG", graph)
    words = graph.aux_labels.remove_values_leq(0)
    return GraphArrays(graph.arcs.values().numpy(), words.values.numpy(), words.shape.row_splits(1).numpy())


def fsa_of(arcs: Any, output: np.ndarray | None = None) -> k2.Fsa:
    columns = [torch.from_numpy(np.ascontiguousarray(column, dtype=np.int32)) for column in arcs[:3]]
    scores = torch.from_numpy(np.ascontiguousarray(arcs.score, dtype=np.float32))
    # k2 wants the arcs sorted by the state they leave.
    order = torch.from_numpy(np.argsort(arcs.src, kind="stable"))
    table = torch.stack([*columns, scores.view(torch.int32)], dim=1)[order]
    fsa = k2.Fsa(table)
    if output is not None:
        fsa.aux_labels = torch.from_numpy(np.ascontiguousarray(output, dtype=np.int32))[order]
    return fsa


def main(arguments: list[str]) -> None:
    run_job(Path(arguments[0]), "k2", compose)


if __name__ == "__main__":
    command(main, sys.argv[1:])
