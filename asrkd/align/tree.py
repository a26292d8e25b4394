"""The decision tree that ties left-context states into pdfs, with questions that are made from the data.

Every state of every phone is a root. The leaf and question with the largest gain in the likelihood of a single Gaussian
are split until there are enough leaves (Young, Odell and Woodland 1994). Questions are sets of left phones, found by
clustering the phones on the same statistics, bottom up: each node of the clustering is one (as in Kaldi's
`cluster-phones`).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrkd.align.gmm import LOG_2PI
from asrkd.align.topology import SIL, SPN, STATES

MIN_LEAF = 100  # frames on either side of a split


@dataclass(frozen=True)
class UnitStatistics:
    """Sums over the frames of each unit: (P, P, 3) by left phone, phone and state."""

    count: np.ndarray  # (P, P, 3)
    first: np.ndarray  # (P, P, 3, D)
    second: np.ndarray  # (P, P, 3, D)
    floor: np.ndarray  # (D,): the least variance


@dataclass
class Node:
    """The left phones (P,) bool that come here, and, once it is split, the question they are asked."""

    left: np.ndarray
    frames: float
    question: np.ndarray | None = None
    gain: float = 0.0
    yes: "Node | None" = None
    no: "Node | None" = None


@dataclass(frozen=True)
class Tree:
    roots: list[Node]  # of (phone, state), phone by phone
    pdfs: np.ndarray  # (P, P, 3) int32

    @property
    def num_pdfs(self) -> int:
        return int(self.pdfs.max()) + 1


def log_likelihood(count: np.ndarray, first: np.ndarray, second: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """(...,): of frames under the one Gaussian that fits them best, from counts (...,) and sums (..., D)."""
    n = np.maximum(count, 1e-10)[..., None]
    scatter = second - first**2 / n
    variance = np.maximum(scatter / n, floor)
    by_dimension = n * (LOG_2PI + np.log(variance)) + scatter / variance
    return np.where(count > 0, -0.5 * by_dimension.sum(axis=-1), 0.0)


def cluster_questions(statistics: UnitStatistics) -> np.ndarray:
    """(Q, P) bool: the sets of phones in the nodes of an agglomerative clustering, single phones first.

    The two clusters whose union loses the least likelihood (summed over the three states) are merged, again and again.
    Phones without frames are in no question but their own.
    """
    num_phones = len(statistics.count)
    count, first, second = (
        sums.sum(axis=0) for sums in (statistics.count, statistics.first, statistics.second)
    )  # by phone and state, over all left phones
    active = [phone for phone in range(num_phones) if count[phone].sum() > 0]
    sets = np.eye(num_phones, dtype=bool)
    questions = list(sets.copy())
    while len(active) > 2:
        a, b = (np.array(active)[side] for side in np.triu_indices(len(active), k=1))
        alone = log_likelihood(count, first, second, statistics.floor).sum(axis=1)  # (P,)
        merged = log_likelihood(count[a] + count[b], first[a] + first[b], second[a] + second[b], statistics.floor)
        best = int(np.argmin(alone[a] + alone[b] - merged.sum(axis=1)))
        keep, gone = int(a[best]), int(b[best])
        for sums in (count, first, second, sets):
            sums[keep] = sums[keep] + sums[gone]
        active.remove(gone)
        questions.append(sets[keep].copy())
    return np.array(questions)


def best_split(
    statistics: UnitStatistics, phone: int, state: int, left: np.ndarray, questions: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """The largest gain and its question (P,) for the left phones (P,) at a state; None where no question may split
    them.
    """
    count = statistics.count[:, phone, state] * left  # (P,)
    first = statistics.first[:, phone, state] * left[:, None]  # (P, D)
    second = statistics.second[:, phone, state] * left[:, None]
    ask = questions.astype(np.float64)
    yes = (ask @ count, ask @ first, ask @ second)  # (Q,), (Q, D), (Q, D)
    whole = (count.sum(), first.sum(axis=0), second.sum(axis=0))
    no = (whole[0] - yes[0], whole[1] - yes[1], whole[2] - yes[2])
    parts = log_likelihood(*yes, statistics.floor) + log_likelihood(*no, statistics.floor)
    gains = parts - log_likelihood(*whole, statistics.floor)
    gains = np.where((yes[0] >= MIN_LEAF) & (no[0] >= MIN_LEAF), gains, -np.inf)
    best = int(np.argmax(gains))
    return (float(gains[best]), questions[best]) if gains[best] > 0 else None


def build_tree(statistics: UnitStatistics, questions: np.ndarray, num_pdfs: int) -> Tree:
    """Split until there are `num_pdfs` leaves, or no leaf has the frames for more.

    Silence and noise are not split. Left phones that were never seen follow the questions, so the table is total. The
    pdfs are numbered by phone, state and leaf.
    """
    num_phones = len(statistics.count)
    roots = []
    heap: list[tuple[float, int, Node, tuple[int, int], np.ndarray]] = []
    made = 0

    def open_leaf(left: np.ndarray, phone: int, state: int) -> Node:
        nonlocal made
        made += 1
        node = Node(left, float(statistics.count[left, phone, state].sum()))
        split = None if phone in (SIL, SPN) else best_split(statistics, phone, state, left, questions)
        if split:
            heapq.heappush(heap, (-split[0], made, node, (phone, state), split[1]))
        return node

    for phone in range(num_phones):
        for state in range(STATES):
            roots.append(open_leaf(np.ones(num_phones, dtype=bool), phone, state))
    leaves = len(roots)
    while leaves < num_pdfs and heap:
        gain, _, node, place, question = heapq.heappop(heap)
        node.question, node.gain = question, -gain
        node.yes = open_leaf(node.left & question, *place)
        node.no = open_leaf(node.left & ~question, *place)
        leaves += 1

    pdfs = np.full((num_phones, num_phones, STATES), -1, dtype=np.int32)
    number = 0
    for index, root in enumerate(roots):
        for leaf in leaves_of(root):
            pdfs[leaf.left, index // STATES, index % STATES] = number
            number += 1
    return Tree(roots, pdfs)


def leaves_of(node: Node) -> list[Node]:
    """Depth first, "yes" before "no"."""
    if node.yes is None or node.no is None:
        return [node]
    return leaves_of(node.yes) + leaves_of(node.no)


def tree_json(tree: Tree, phones: Sequence[str]) -> dict[str, Any]:
    """For people: each root with its questions, as the phones that they are true of."""

    def names(mask: np.ndarray) -> list[str]:
        return [phones[int(phone)] for phone in np.flatnonzero(mask)]

    def show(node: Node, phone: int, state: int) -> dict[str, Any]:
        if node.question is None or node.yes is None or node.no is None:
            return {"pdf": int(tree.pdfs[node.left, phone, state][0]), "frames": round(node.frames)}
        return {
            "left phone in": names(node.question),
            "gain": round(node.gain / node.frames, 4),
            "frames": round(node.frames),
            "yes": show(node.yes, phone, state),
            "no": show(node.no, phone, state),
        }

    roots = [
        {"phone": phones[index // STATES], "state": index % STATES, "tree": show(root, index // STATES, index % STATES)}
        for index, root in enumerate(tree.roots)
    ]
    return {"num_pdfs": tree.num_pdfs, "gain": "log-likelihood a frame", "roots": roots}
