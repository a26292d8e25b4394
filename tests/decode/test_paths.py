"""Best path and n-best of a lattice against all of its paths."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.decode.graph_arrays import GraphArrays
from asrkd.decode.lattice import NO_PATH, Lattice, read_lattices, write_lattices
from asrkd.decode.paths import best_paths, n_best

GRID = [(1.0, 0.0), (0.3, 1.0), (2.0, -0.5)]


@st.composite
def lattices(draw: st.DrawFn) -> tuple[GraphArrays, Lattice]:
    """Of few states and words, so that one word sequence has several paths; state 0 always leads on to the last."""
    states = draw(st.integers(2, 6))
    pairs = [(a, a + 1) for a in range(states - 1)]
    pairs += draw(st.lists(st.sampled_from([(a, b) for a in range(states) for b in range(a + 1, states)]), max_size=8))
    pairs.sort()
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 3, len(pairs))
    graph_arcs = np.zeros((len(pairs), 4), np.int32)
    graph_arcs[:, 3] = rng.normal(size=len(pairs)).astype(np.float32).view(np.int32)
    words = rng.integers(1, 3, lengths.sum()).astype(np.int32)
    graph = GraphArrays(graph_arcs, words, np.append(0, np.cumsum(lengths)))
    numbers = rng.permutation(len(pairs))
    arcs = np.column_stack([np.array(pairs), np.ones(len(pairs)), numbers]).astype(np.int32)
    return graph, Lattice(arcs, rng.normal(size=len(pairs)))


def all_paths(lattice: Lattice, state: int = 0) -> Iterator[list[int]]:
    if state == lattice.arcs[:, 1].max():
        yield []
        return
    for a in np.flatnonzero(lattice.arcs[:, 0] == state).tolist():
        for rest in all_paths(lattice, int(lattice.arcs[a, 1])):
            yield [a, *rest]


def by_enumeration(graph: GraphArrays, lattice: Lattice, scale: float, penalty: float) -> dict[tuple[int, ...], float]:
    """The best score of each word sequence."""
    scores: dict[tuple[int, ...], float] = {}
    for path in all_paths(lattice):
        passed = lattice.arcs[path, 3]
        words = tuple(word for a in passed for word in graph.words[graph.first[a] : graph.first[a + 1]].tolist())
        score = lattice.acoustic[path].sum() + scale * graph.scores[passed].sum() - penalty * len(words)
        scores[words] = max(score, scores.get(words, -np.inf))
    return scores


@given(lattices())
@settings(deadline=None, max_examples=60)
def test_best_paths(case: tuple[GraphArrays, Lattice]) -> None:
    graph, lattice = case
    for point, (score, words) in zip(GRID, best_paths(graph, lattice, GRID), strict=True):
        scores = by_enumeration(graph, lattice, *point)
        assert score == pytest.approx(max(scores.values()), abs=1e-5)
        assert scores[tuple(words)] == pytest.approx(score, abs=1e-5)


@given(lattices(), st.integers(1, 20))
@settings(deadline=None, max_examples=100)
def test_n_best(case: tuple[GraphArrays, Lattice], n: int) -> None:
    graph, lattice = case
    for point in GRID:
        scores = by_enumeration(graph, lattice, *point)
        found = n_best(graph, lattice, *point, n)
        assert len(found) == min(n, len(scores))
        assert len({tuple(hypothesis.words) for hypothesis in found}) == len(found)
        for hypothesis, expected in zip(found, sorted(scores.values(), reverse=True), strict=False):
            assert hypothesis.score(*point) == pytest.approx(expected, abs=1e-5)
            assert scores[tuple(hypothesis.words)] == pytest.approx(expected, abs=1e-5)


def test_nothing_of_nothing() -> None:
    graph = GraphArrays(np.zeros((0, 4), np.int32), np.zeros(0, np.int32), np.zeros(1, np.int64))
    assert best_paths(graph, NO_PATH, GRID) == [(-np.inf, [])] * 3
    assert n_best(graph, NO_PATH, 1.0, 0.0, 5) == []


def test_what_is_written_is_read(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = [
        Lattice(np.arange(8, dtype=np.int32).reshape(2, 4), np.array([0.5, -1.0])),
        NO_PATH,
        Lattice(np.ones((1, 4), np.int32), np.array([2.0])),
    ]
    write_lattices(tmp_path / "lattices", made)
    for expected, found in zip(made, read_lattices(tmp_path / "lattices"), strict=True):
        np.testing.assert_array_equal(found.arcs, expected.arcs)
        np.testing.assert_array_equal(found.acoustic, expected.acoustic)
