"""Draws a grammar of two words, the lexicon and their HLG with k2's own drawing, into this folder.

Run by the interpreter that has k2, with the package graphviz and its program `dot`:

    PYTHONPATH=. .venv-k2/bin/python docs/figures/two_words.py
"""

from __future__ import annotations

from pathlib import Path

import k2
import numpy as np
import torch

from asrkd.decode.arpa import FINAL, Arcs
from asrkd.decode.hlg import compose, fsa_of
from asrkd.decode.hlg_job import Clock
from asrkd.decode.lexicon import lexicon_transducer, word_ids
from asrkd.decode.topology import left_biphone_topology

WORDS = word_ids(["NO", "OH"])
PHONES = ["SIL", "N", "OW"]


def grammar() -> Arcs:
    """One word, NO or OH, with the probabilities 0.7 and 0.3."""
    source, target, label = (np.array(column, dtype=np.int32) for column in ([0, 0, 1], [1, 1, 2], [1, 2, FINAL]))
    return Arcs(source, target, label, np.log(np.array([0.7, 0.3, 1.0], dtype=np.float32)))


def draw(fsa: k2.Fsa, name: str, labels: list[str], outputs: list[str] | None = None) -> None:
    fsa.labels_sym = symbols(labels)
    if outputs is not None:
        fsa.aux_labels_sym = symbols(outputs)
    fsa.draw(str(Path(__file__).with_name(f"{name}.svg")))


def symbols(names: list[str]) -> k2.SymbolTable:
    return k2.SymbolTable.from_str("\n".join(f"{name} {number}" for number, name in enumerate(names)))


def main() -> None:
    lexicon = lexicon_transducer([("NO", ["N", "OW"]), ("OH", ["OW"])], WORDS, PHONES)
    words = ["<eps>", *WORDS, "#0"]
    # No left context tells pdfs apart here: three a phone.
    pdfs = np.broadcast_to(np.arange(9).reshape(3, 3), (3, 3, 3))
    graph = compose(left_biphone_topology(pdfs), lexicon, grammar(), Clock())
    hlg = k2.Fsa(torch.from_numpy(graph.arcs))
    # Here an arc has one word at most.
    spoken = np.zeros(len(graph.arcs), dtype=np.int32)
    spoken[np.repeat(np.arange(len(graph.arcs)), np.diff(graph.first))] = graph.words
    spoken[(graph.arcs[:, 2] == FINAL) & (spoken == 0)] = FINAL
    hlg.aux_labels = torch.from_numpy(spoken)
    draw(fsa_of(grammar()), "grammar", words)
    draw(fsa_of(lexicon.transducer, lexicon.transducer.output), "lexicon", ["<eps>", *PHONES, "#0", "#1"], words)
    draw(hlg, "hlg", ["<eps>", *(f"{phone}.{state}" for phone in PHONES for state in (1, 2, 3))], words)


if __name__ == "__main__":
    main()
