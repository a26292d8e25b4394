"""From lattices to words: the best path at any scales, and the n best word sequences, both exact.

    score = acoustic + lm_scale * graph - insertion_penalty * words

where `graph` holds the language model's and the lexicon's scores. The search is made with an LM scale of 1 and no
penalty; other scales choose among what it let survive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from asrkd.decode.graph_arrays import GraphArrays
from asrkd.decode.lattice import Lattice

FIRST_BEAM = 1.0  # of the n-best search; doubled until there are n


@dataclass(frozen=True)
class Hypothesis:
    words: list[int]
    acoustic: float  # scaled
    graph: float  # unscaled

    def score(self, lm_scale: float, penalty: float) -> float:
        return self.acoustic + lm_scale * self.graph - penalty * len(self.words)


def best_paths(
    graph: GraphArrays, lattice: Lattice, grid: Sequence[tuple[float, float]]
) -> list[tuple[float, list[int]]]:
    """For each (LM scale, penalty) of the grid the best path: its score and word ids.

    A lattice without arcs gives -inf and no words.
    """
    if not len(lattice.arcs):
        return [(-np.inf, []) for _ in grid]
    scores, first, last = _arcs_of(graph, lattice)
    words = np.asarray(graph.words)  # slices of a memory map are slow to make
    found = []
    for lm_scale, penalty in grid:
        total = lattice.acoustic + lm_scale * scores - penalty * (last - first)
        path = _best_path(lattice.arcs, total)
        speaking = path[last[path] > first[path]]  # few arcs have words
        spoken = [word for a in speaking for word in words[first[a] : last[a]].tolist()]
        found.append((float(total[path].sum()), spoken))
    return found


def n_best(graph: GraphArrays, lattice: Lattice, lm_scale: float, penalty: float, n: int) -> list[Hypothesis]:
    """The n best word sequences, each once, by its best path; fewer where the lattice has no more."""
    if not len(lattice.arcs):
        return []
    scores, first, last = _arcs_of(graph, lattice)
    lengths = last - first
    total = lattice.acoustic + lm_scale * scores - penalty * lengths
    starts = np.append(0, np.cumsum(lengths))
    places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)  # of each arc's words, one after the other
    of_arcs = graph.words[places].astype(np.int64)
    onward = _onward(lattice.arcs, total)
    # Within a small beam of the best path there is little to keep; a beam that has n sequences has the n best.
    beam, worst = FIRST_BEAM, -_onward(lattice.arcs, -total)[0]
    while True:
        sums, nodes, parent, word = _n_best(
            lattice.arcs, total, lattice.acoustic, scores, starts, of_arcs, n, onward, onward[0] - beam
        )
        if len(nodes) == n or onward[0] - beam < worst:
            break
        beam *= 2
    found = []
    for node, (acoustic, scored) in zip(nodes.tolist(), sums.tolist(), strict=True):
        spoken = []
        while node:
            spoken.append(int(word[node]))
            node = int(parent[node])
        found.append(Hypothesis(spoken[::-1], acoustic, scored))
    return found


def _arcs_of(graph: GraphArrays, lattice: Lattice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Graph score, first word and end of words of each arc of a lattice."""
    arcs = lattice.arcs[:, 3]
    return graph.scores[arcs].astype(np.float64), graph.first[arcs], graph.first[arcs + 1]


@njit(cache=True)
def _best_path(arcs, total):  # type: ignore[no-untyped-def]
    """The arcs of the best path from state 0 to the highest state."""
    states = arcs[:, 1].max() + 1
    best = np.full(states, -np.inf)
    into = np.full(states, -1, dtype=np.int64)
    length = np.zeros(states, dtype=np.int64)
    best[0] = 0.0
    for a in range(len(arcs)):  # sorted by state, and each leads to a higher one: all that enters a state comes before
        source, target = arcs[a, 0], arcs[a, 1]
        score = best[source] + total[a]
        if score > best[target]:
            best[target], into[target], length[target] = score, a, length[source] + 1
    path = np.empty(length[states - 1], dtype=np.int64)
    state = states - 1
    for place in range(len(path) - 1, -1, -1):
        path[place] = into[state]
        state = arcs[path[place], 0]
    return path


@njit(cache=True)
def _onward(arcs, total):  # type: ignore[no-untyped-def]
    """(states,) the score of the best path from each state to the last one."""
    states = arcs[:, 1].max() + 1
    best = np.full(states, -np.inf)
    best[states - 1] = 0.0
    for a in range(len(arcs) - 1, -1, -1):
        score = best[arcs[a, 1]] + total[a]
        if score > best[arcs[a, 0]]:
            best[arcs[a, 0]] = score
    return best


@njit(cache=True)
def _n_best(arcs, total, acoustic, graph, first_word, words, n, onward, limit):  # type: ignore[no-untyped-def]
    """Every state keeps its n best word sequences, best first, as far as the best path on from it reaches `limit`.

    A sequence is a node of a tree, which its parent and its last word name, so that two are equal when their nodes are.

    What enters a state are sorted lists, an arc each; they are merged from their heads, and of equal sequences the
    first to come is the best. Returns acoustic and graph sums (K, 2), nodes (K,) of the final state's, and the tree.
    """
    states = arcs[:, 1].max() + 1
    # Of all states one after the other, since most are beyond `limit` and keep nothing.
    scores, nodes, acoustic_sums, graph_sums = [0.0], [np.int64(0)], [0.0], [0.0]
    begin = np.zeros(states, dtype=np.int64)
    count = np.zeros(states, dtype=np.int64)
    count[0] = 1
    numbers = {(np.int64(0), np.int64(0)): np.int64(0)}
    parent, word = [np.int64(0)], [np.int64(0)]
    seen = [np.int64(-1)]  # the last state that has kept each node
    entering = np.argsort(arcs[:, 1], kind="mergesort")
    bounds = np.searchsorted(arcs[:, 1][entering], np.arange(states + 1))
    head = np.zeros(len(arcs), dtype=np.int64)  # of each arc's list, the first that is not merged yet
    for state in range(1, states):
        begin[state] = len(scores)
        while count[state] < n:
            best, chosen = -np.inf, -1
            for place in range(bounds[state], bounds[state + 1]):
                a = entering[place]
                source = arcs[a, 0]
                if head[a] < count[source] and scores[begin[source] + head[a]] + total[a] > best:
                    best, chosen = scores[begin[source] + head[a]] + total[a], a
            if chosen < 0 or best + onward[state] < limit:
                break
            before = begin[arcs[chosen, 0]] + head[chosen]
            head[chosen] += 1
            node = nodes[before]
            for place in range(first_word[chosen], first_word[chosen + 1]):
                key = (node, words[place])
                if key not in numbers:
                    numbers[key] = np.int64(len(parent))
                    parent.append(node)
                    word.append(words[place])
                    seen.append(np.int64(-1))
                node = numbers[key]
            if seen[node] == state:
                continue
            seen[node] = state
            scores.append(best)
            nodes.append(node)
            acoustic_sums.append(acoustic_sums[before] + acoustic[chosen])
            graph_sums.append(graph_sums[before] + graph[chosen])
            count[state] += 1
    final = begin[states - 1]
    sums = np.column_stack((np.array(acoustic_sums[final:]), np.array(graph_sums[final:])))
    return sums, np.array(nodes[final:]), np.array(parent), np.array(word)
