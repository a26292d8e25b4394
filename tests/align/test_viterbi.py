"""The compiled search against the enumeration of every path."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.align.topology import Graph, utterance_graph
from asrkd.align.viterbi import best_path


def brute_force(graph: Graph, pdf: np.ndarray, scores: np.ndarray, stay: np.ndarray) -> float:
    """The best score of all S ** T sequences of states."""
    arcs = {}
    for state in range(len(pdf)):
        for arc in range(graph.arc_first[state], graph.arc_first[state + 1]):
            arcs[graph.arc_source[arc], state] = graph.arc_weight[arc]
    best = -np.inf
    for path in itertools.product(range(len(pdf)), repeat=len(scores)):
        total = graph.start[path[0]] + scores[0, pdf[path[0]]]
        for t in range(1, len(path)):
            before, now = path[t - 1], path[t]
            if before == now:
                total += np.log(stay[pdf[now]])
            else:
                total += np.log(1 - stay[pdf[before]]) + arcs.get((before, now), -np.inf)
            total += scores[t, pdf[now]]
        best = max(best, total + graph.final[path[-1]] + np.log(1 - stay[pdf[path[-1]]]))
    return best


def score_of(graph: Graph, path: np.ndarray, pdf: np.ndarray, scores: np.ndarray, stay: np.ndarray) -> float:
    one = Graph(
        graph.units, graph.arc_first, graph.arc_source, graph.arc_weight, graph.start.copy(), graph.final.copy()
    )
    total = one.start[path[0]] + one.final[path[-1]] + np.log(1 - stay[pdf[path[-1]]])
    for t, state in enumerate(path):
        total += scores[t, pdf[state]]
        if t and path[t - 1] == state:
            total += np.log(stay[pdf[state]])
        elif t:
            into = slice(graph.arc_first[state], graph.arc_first[state + 1])
            arc = np.flatnonzero(graph.arc_source[into] == path[t - 1])[0]
            total += graph.arc_weight[into][arc] + np.log(1 - stay[pdf[path[t - 1]]])
    return float(total)


@st.composite
def random_graphs(draw: st.DrawFn) -> tuple[Graph, np.ndarray, int, int]:
    states = draw(st.integers(1, 4))
    frames = draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    sources, weights, first = [], [], [0]
    for state in range(states):
        into = [source for source in range(states) if source != state and rng.random() < 0.6]
        sources += into
        weights += list(-rng.exponential(size=len(into)))
        first.append(len(sources))
    ends = np.where(rng.random((2, states)) < 0.6, -rng.exponential(size=(2, states)), -np.inf).astype(np.float32)
    graph = Graph(
        np.arange(states, dtype=np.int32),
        np.array(first, dtype=np.int32),
        np.array(sources, dtype=np.int32),
        np.array(weights, dtype=np.float32),
        ends[0],
        ends[1],
    )
    return graph, rng.integers(0, 3, states).astype(np.int32), frames, seed


@settings(deadline=None, max_examples=150)
@given(random_graphs())
def test_best_of_all_paths(case: tuple[Graph, np.ndarray, int, int]) -> None:
    graph, pdf, frames, seed = case
    rng = np.random.default_rng(seed + 1)
    scores = rng.normal(size=(frames, 3)).astype(np.float32) * 3
    stay = rng.uniform(0.1, 0.9, 3)
    path, score = best_path(graph, pdf, scores, stay)
    expected = brute_force(graph, pdf, scores, stay)
    if np.isinf(expected):
        assert score == -np.inf
        assert (path == -1).all()
    else:
        assert score == pytest.approx(expected, abs=1e-5)
        assert score_of(graph, path, pdf, scores, stay) == pytest.approx(expected, abs=1e-5)


def test_too_short_has_no_path() -> None:
    graph = utterance_graph([[[2, 3]]], 4)
    pdf = graph.units % 7
    stay = np.full(7, 0.5)
    assert best_path(graph, pdf, np.zeros((5, 7), np.float32), stay)[1] == -np.inf
    assert np.isfinite(best_path(graph, pdf, np.zeros((6, 7), np.float32), stay)[1])
