"""The best path through an utterance's graph, exactly, compiled by numba (and without Python's lock, so threads run
it).
"""

import numpy as np
from numba import njit

from asrkd.align.topology import Graph


def best_path(graph: Graph, pdf: np.ndarray, log_likelihoods: np.ndarray, stay: np.ndarray) -> tuple[np.ndarray, float]:
    """States (T,) int32 of the best path and its log probability; -inf where no path has T frames.

    `pdf` (S,) is the column of `log_likelihoods` (T, C) for each state, `stay` (C,) the probability of each self-loop.
    The last state is left after the last frame. A tie goes to staying, then to the arc that comes first.
    """
    path, score = _viterbi(
        log_likelihoods,
        pdf,
        np.log(stay)[pdf],
        np.log1p(-stay)[pdf],
        graph.arc_first,
        graph.arc_source,
        graph.arc_weight,
        graph.start,
        graph.final,
    )
    return path, float(score)


@njit(nogil=True, cache=True)
def _viterbi(log_likelihoods, pdf, log_stay, log_leave, arc_first, arc_source, arc_weight, start, final):  # type: ignore[no-untyped-def]
    num_frames, num_states = len(log_likelihoods), len(pdf)
    arc_score = log_leave[arc_source] + arc_weight
    # Float64: a score is the sum over thousands of frames. `taken` is 0 for the self-loop, else 1 + the arc's place.
    taken = np.zeros((num_frames, num_states), dtype=np.uint16)
    before = np.full(num_states, -np.inf)
    now = np.full(num_states, -np.inf)
    for s in range(num_states):
        now[s] = start[s] + log_likelihoods[0, pdf[s]]
    for t in range(1, num_frames):
        before, now = now, before
        for s in range(num_states):
            best = before[s] + log_stay[s]
            choice = 0
            low = arc_first[s]
            for arc in range(low, arc_first[s + 1]):
                score = before[arc_source[arc]] + arc_score[arc]
                if score > best:
                    best = score
                    choice = 1 + arc - low
            now[s] = best + log_likelihoods[t, pdf[s]]
            taken[t, s] = choice

    path = np.full(num_frames, -1, dtype=np.int32)
    best = -np.inf
    state = -1
    for s in range(num_states):
        score = now[s] + final[s] + log_leave[s]
        if score > best:
            best = score
            state = s
    if state < 0:
        return path, best
    for t in range(num_frames - 1, -1, -1):
        path[t] = state
        if taken[t, state] > 0:
            state = arc_source[arc_first[state] + taken[t, state] - 1]
    return path, best
