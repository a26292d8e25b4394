"""H: from pdfs to phones, for left-biphone HMMs of three tied states, without input epsilons.

k2's dense intersection takes label 0 for an ordinary symbol, so every arc of the graph must consume a frame. Hence the
arcs carry the pdf of the state they enter, and the last state of a phone is the left context of what follows: it leads
straight into the first state of (phone, next) for every next phone.

The arcs have no transition probabilities. An HMM without skips offers two ways out of a state, stay or go. Their
log-probabilities, scaled like the acoustic score, left the WER where it was: 43.2 % of 1,968 words of LibriSpeech.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asrkd.decode.arpa import FINAL


class Transducer(NamedTuple):
    """Arcs of a transducer: state 0 is the start, the highest state is final. Label 0 is epsilon, -1 final."""

    src: np.ndarray  # (A,) int32
    dst: np.ndarray  # (A,) int32
    label: np.ndarray  # (A,) int32
    output: np.ndarray  # (A,) int32
    score: np.ndarray  # (A,) float32, natural logarithm


def left_biphone_topology(pdfs: np.ndarray, silence: int = 0) -> Transducer:
    """H: label pdf + 1, output phone + 1 on the arc into a phone's first state.

    pdfs: (P, P, S) int, [left phone, phone, state] -> pdf. An utterance begins in the left context `silence`. Left
    contexts whose S pdfs agree share their states, so H is as small as the tree allows.
    """
    phones, states = pdfs.shape[1:]
    units: list[tuple[int, np.ndarray]] = []  # (phone, pdfs of its states); unit u has the states 1 + u * S ...
    unit_of = np.empty((phones, phones), dtype=np.int64)  # [left phone, phone]
    for phone in range(phones):
        triples, which = np.unique(pdfs[:, phone], axis=0, return_inverse=True)
        unit_of[:, phone] = len(units) + which.reshape(-1)
        units += [(phone, triple) for triple in triples]
    final = 1 + len(units) * states

    arcs: list[tuple[int, int, int, int]] = []

    def leave(state: int, left: int) -> None:
        for phone, unit in enumerate(unit_of[left]):
            arcs.append((state, 1 + unit * states, units[unit][1][0] + 1, phone + 1))

    leave(0, silence)
    for unit, (phone, triple) in enumerate(units):
        first = 1 + unit * states
        for position, pdf in enumerate(triple):
            arcs.append((first + position, first + position, pdf + 1, 0))
            if position + 1 < states:
                arcs.append((first + position, first + position + 1, triple[position + 1] + 1, 0))
        leave(first + states - 1, phone)
        arcs.append((first + states - 1, final, FINAL, FINAL))
    src, dst, label, output = np.array(arcs, dtype=np.int32).T
    return Transducer(src, dst, label, output, np.zeros(len(arcs), dtype=np.float32))
