"""Graphs against an enumeration of silences and variants."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.align.topology import (
    SIL,
    Graph,
    Pronunciations,
    equal_alignment,
    monophone_pdfs,
    shortest,
    unit,
    utterance_graph,
)

PHONES = 5


def paths(graph: Graph) -> list[tuple[tuple[int, ...], float]]:
    """The units on every path without self-loops, and its log probability."""
    leaving: dict[int, list[tuple[int, float]]] = {}
    for state in range(len(graph.units)):
        for arc in range(graph.arc_first[state], graph.arc_first[state + 1]):
            leaving.setdefault(int(graph.arc_source[arc]), []).append((state, float(graph.arc_weight[arc])))
    found = []

    def walk(state: int, units: tuple[int, ...], weight: float) -> None:
        units += (int(graph.units[state]),)
        if np.isfinite(graph.final[state]):
            found.append((units, weight + float(graph.final[state])))
        for target, cost in leaving.get(state, []):
            walk(target, units, weight + cost)

    for first in np.flatnonzero(np.isfinite(graph.start)):
        walk(int(first), (), float(graph.start[first]))
    return found


def expected(words: list[Pronunciations]) -> list[tuple[tuple[int, ...], float]]:
    """Every choice of variants and silences; the left context of a phone is what stands before it, that of silence
    silence.
    """
    result = []
    for variants in itertools.product(*words):
        for silences in itertools.product([False, True], repeat=len(words) + 1):
            phones = [SIL] if silences[0] else []
            for variant, silence in zip(variants, silences[1:], strict=True):
                phones += [*variant, SIL] if silence else variant
            units = []
            left = SIL
            for phone in phones:
                left = SIL if phone == SIL else left
                units += [(left * PHONES + phone) * 3 + state for state in range(3)]
                left = phone
            weight = -len(silences) * np.log(2) - sum(np.log(len(word)) for word in words)
            result.append((tuple(units), weight))
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.lists(st.integers(1, PHONES - 1), min_size=1, max_size=3), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_every_phone_sequence_and_no_other(words: list[Pronunciations]) -> None:
    graph = utterance_graph(words, PHONES)
    found, wanted = sorted(paths(graph)), sorted(expected(words))
    assert [units for units, _ in found] == [units for units, _ in wanted]
    assert np.allclose([weight for _, weight in found], [weight for _, weight in wanted], atol=1e-5)
    assert min(len(units) for units, _ in found) == shortest(words)


def test_a_word_boundary_by_hand() -> None:
    graph = utterance_graph([[[2]], [[3]]], PHONES)
    seen = set(map(int, graph.units[::3]))
    assert seen == {unit(left, phone, 0, PHONES) for left, phone in [(SIL, SIL), (SIL, 2), (SIL, 3), (2, 3)]}


def test_no_words_is_silence() -> None:
    graph = utterance_graph([], PHONES)
    assert [units for units, _ in paths(graph)] == [tuple(unit(SIL, SIL, state, PHONES) for state in range(3))]
    assert shortest([]) == 3


def test_equal_alignment_by_hand() -> None:
    words = [[[2, 3], [4]], [[1]]]  # SIL 2 3 1 SIL: 15 states
    units = equal_alignment(words, 31, PHONES)
    changes = np.flatnonzero(np.diff(units)) + 1
    runs = np.diff([0, *changes, 31])
    assert units.dtype == np.int32
    assert set(runs) == {2, 3}
    sequence = [int(part[0]) for part in np.split(units, changes)]
    places = [(SIL, SIL), (SIL, 2), (2, 3), (3, 1), (SIL, SIL)]
    assert sequence == [unit(left, phone, state, PHONES) for left, phone in places for state in range(3)]
    assert (equal_alignment(words, 14, PHONES) == -1).all()
    assert len(np.unique(equal_alignment(words, 15, PHONES))) == 12  # silence at both ends is the same unit


@pytest.mark.parametrize("phones", [2, 5])
def test_monophone_pdfs(phones: int) -> None:
    pdfs = monophone_pdfs(phones)
    assert pdfs.shape == (phones, phones, 3)
    assert (pdfs[0] == pdfs[-1]).all()
    assert sorted(pdfs[0].ravel()) == list(range(3 * phones))
