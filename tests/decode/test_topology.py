from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from asrkd.decode.arpa import FINAL
from asrkd.decode.topology import Transducer, left_biphone_topology

SILENCE = 0


def paths(h: Transducer, frames: int) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All (labels, outputs) that H takes to its final state in so many frames, and on how many paths."""
    alive: Counter[tuple[int, tuple[int, ...], tuple[int, ...]]] = Counter({(0, (), ()): 1})
    for _ in range(frames):
        after: Counter[tuple[int, tuple[int, ...], tuple[int, ...]]] = Counter()
        for (state, labels, outputs), count in alive.items():
            for arc in np.flatnonzero((h.src == state) & (h.label != FINAL)):
                output = int(h.output[arc])
                after[int(h.dst[arc]), (*labels, int(h.label[arc])), (*outputs, output) if output else outputs] += count
        alive = after
    closing = set(h.src[h.label == FINAL].tolist())
    return Counter({(labels, outputs): count for (state, labels, outputs), count in alive.items() if state in closing})


def expected(pdfs: np.ndarray, frames: int) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The same by definition: every phone sequence, every way to share the frames among its states."""
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for length in range(1, frames // 3 + 1):
        for phones in product(range(len(pdfs)), repeat=length):
            states = [pdf for left, phone in pairwise((SILENCE, *phones)) for pdf in pdfs[left, phone].tolist()]
            for cuts in combinations(range(1, frames), len(states) - 1):
                spans = pairwise((0, *cuts, frames))
                labels = [pdf + 1 for pdf, (begin, end) in zip(states, spans, strict=True) for _ in range(end - begin)]
                found[tuple(labels), tuple(phone + 1 for phone in phones)] += 1
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("frames", [2, 3, 5, 7])
def test_accepts_exactly_the_tied_state_sequences(seed: int, frames: int) -> None:
    draw = np.random.default_rng(seed)
    pdfs = draw.integers(0, 4, (3, 3, 3))  # few pdfs: ties across phones, states and left contexts
    assert paths(left_biphone_topology(pdfs), frames) == expected(pdfs, frames)


def distinct(rows: Sequence[Sequence[int]]) -> int:
    return len({tuple(row) for row in rows})


def test_tied_contexts_share_their_states() -> None:
    pdfs = np.array(
        [[[9 * (left == 2) + 3 * phone + state for state in range(3)] for phone in range(3)] for left in range(3)]
    )
    h = left_biphone_topology(pdfs)
    units = sum(distinct(pdfs[:, phone].tolist()) for phone in range(3))
    assert units == 6
    assert h.dst.max() + 1 == 2 + 3 * units
    assert not (h.label == 0).any(), "k2's dense intersection takes 0 for a symbol"
