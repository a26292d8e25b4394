"""The HMM of an utterance: three left-to-right states a phone, optional silence, pronunciation variants, left contexts.

A *unit* is one HMM state in its left context: (left phone, phone, state) as the number (left * P + phone) * 3 + state.
A table `pdfs` (P, P, 3) ties units to pdfs, so an alignment to units holds for every tying.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STATES = 3  # a phone
SIL = 0  # phone ids, as lang/phones.txt has them
SPN = 1
SILENCE_PROBABILITY = 0.5  # before, between and after words

Pronunciations = Sequence[Sequence[int]]  # the variants of a word, as phone ids
_BEGIN = -1  # the source of arcs that begin the utterance
_Entries = list[tuple[int, float]]  # arcs into a state: source, log probability


@dataclass(frozen=True)
class Graph:
    """States (S,) in topological order and the arcs (A,) between them, sorted by the state they lead to.

    The arcs into state s are arc_first[s] to arc_first[s + 1]. Self-loops are not among them: staying and leaving have
    a probability for each pdf, and `arc_weight`, `start` and `final` are the log probabilities of the choice among
    variants.
    """

    units: np.ndarray  # (S,) int32
    arc_first: np.ndarray  # (S + 1,) int32
    arc_source: np.ndarray  # (A,) int32
    arc_weight: np.ndarray  # (A,) float32
    start: np.ndarray  # (S,) float32, -inf where no path begins
    final: np.ndarray  # (S,) float32, -inf where no path ends


def utterance_graph(words: Sequence[Pronunciations], num_phones: int) -> Graph:
    """The graph of a sequence of words.

    The first phone of a word is copied for each phone that may stand before it; the left context of silence is silence,
    since its states are tied over all contexts.
    """
    units: list[int] = []
    entries: list[_Entries] = []

    def add(left: int, phone: int, arcs: _Entries) -> int:
        for state in range(STATES):
            entries.append(arcs if state == 0 else [(len(units) - 1, 0.0)])
            units.append(unit(left, phone, state, num_phones))
        return len(units) - 1

    def optional_silence(exits: dict[int, _Entries]) -> dict[int, _Entries]:
        into = [arc for arcs in exits.values() for arc in _scaled(arcs, SILENCE_PROBABILITY)]
        after = {left: _scaled(arcs, 1 - SILENCE_PROBABILITY) for left, arcs in exits.items()}
        after.setdefault(SIL, []).append((add(SIL, SIL, into), 0.0))
        return after

    exits = optional_silence({SIL: [(_BEGIN, 0.0)]})  # by the phone that was last
    for pronunciations in words:
        ends: dict[int, _Entries] = {}
        for phones in pronunciations:
            inward = {left: _scaled(arcs, 1 / len(pronunciations)) for left, arcs in exits.items()}
            for phone in phones:
                inward = {phone: [(add(left, phone, arcs), 0.0) for left, arcs in inward.items()]}
            ends.setdefault(phones[-1], []).extend(inward[phones[-1]])
        exits = optional_silence(ends)
    return _graph(units, entries, [arc for arcs in exits.values() for arc in arcs])


def unit(left: int, phone: int, state: int, num_phones: int) -> int:
    return (left * num_phones + phone) * STATES + state


def monophone_pdfs(num_phones: int) -> np.ndarray:
    """(P, P, 3) int32: a pdf for every (phone, state), whatever stands to the left."""
    table = np.arange(num_phones * STATES, dtype=np.int32).reshape(1, num_phones, STATES)
    return np.repeat(table, num_phones, axis=0)


def shortest(words: Sequence[Pronunciations]) -> int:
    """The least number of frames that a path through the graph takes."""
    return STATES * max(1, sum(min(map(len, pronunciations)) for pronunciations in words))


def equal_alignment(words: Sequence[Pronunciations], num_frames: int, num_phones: int) -> np.ndarray:
    """(T,) int32 units: the first variants with silence at both ends, each state for the same time.

    All -1 where there are fewer frames than states.
    """
    phones = [SIL, *(phone for pronunciations in words for phone in pronunciations[0]), SIL]
    lefts = [SIL, *phones[:-2], SIL]
    sequence = np.array(
        [unit(left, phone, s, num_phones) for left, phone in zip(lefts, phones, strict=True) for s in range(STATES)],
        dtype=np.int32,
    )
    if num_frames < len(sequence):
        return np.full(num_frames, -1, dtype=np.int32)
    return sequence[np.arange(num_frames) * len(sequence) // num_frames]


def _scaled(arcs: _Entries, probability: float) -> _Entries:
    return [(source, weight + math.log(probability)) for source, weight in arcs]


def _graph(units: list[int], entries: list[_Entries], exits: _Entries) -> Graph:
    start = np.full(len(units), -np.inf, dtype=np.float32)
    final = np.full(len(units), -np.inf, dtype=np.float32)
    sources: list[int] = []
    weights: list[float] = []
    first = [0]
    for state, arcs in enumerate(entries):
        for source, weight in arcs:
            if source == _BEGIN:
                start[state] = weight
            else:
                sources.append(source)
                weights.append(weight)
        first.append(len(sources))
    for source, weight in exits:
        if source != _BEGIN:  # without words, the silence is not optional
            final[source] = weight
    return Graph(
        units=np.array(units, dtype=np.int32),
        arc_first=np.array(first, dtype=np.int32),
        arc_source=np.array(sources, dtype=np.int32),
        arc_weight=np.array(weights, dtype=np.float32),
        start=start,
        final=final,
    )
