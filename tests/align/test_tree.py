"""Splits against an exhaustive search on raw frames; the table of pdfs against the tree."""

import numpy as np
import pytest
from scipy.stats import norm

from asrkd.align.tree import (
    MIN_LEAF,
    Node,
    UnitStatistics,
    best_split,
    build_tree,
    cluster_questions,
    leaves_of,
    tree_json,
)

PHONES = 7
UNSEEN = 6  # never a left phone
Frames = dict[tuple[int, int, int], np.ndarray]


@pytest.fixture(scope="module")
def frames() -> Frames:
    """(left, phone, state) -> (n, 2). The left phones 4 and 5 move what follows them away from the rest."""
    rng = np.random.default_rng(0)
    data = {}
    for left in range(UNSEEN):
        for phone in range(PHONES):
            for state in range(3):
                shift = (1.5 if left in (4, 5) else 0.0) + rng.normal(scale=0.2)
                count = int(rng.integers(60, 200))
                data[left, phone, state] = rng.normal([shift + phone, state], 1, size=(count, 2))
    return data


@pytest.fixture(scope="module")
def statistics(frames: Frames) -> UnitStatistics:
    count = np.zeros((PHONES, PHONES, 3))
    first, second = np.zeros((2, PHONES, PHONES, 3, 2))
    for place, x in frames.items():
        count[place], first[place], second[place] = len(x), x.sum(axis=0), (x**2).sum(axis=0)
    return UnitStatistics(count, first, second, np.full(2, 1e-3))


def fitted(x: np.ndarray) -> float:
    return float(norm(x.mean(axis=0), x.std(axis=0)).logpdf(x).sum())


@pytest.mark.parametrize(("phone", "state"), [(2, 0), (3, 1), (5, 2)])
def test_the_best_question_of_all(frames: Frames, statistics: UnitStatistics, phone: int, state: int) -> None:
    rng = np.random.default_rng(phone)
    questions = rng.random((12, PHONES)) < 0.5
    left = np.ones(PHONES, dtype=bool)
    left[1] = False
    gains = []
    for question in questions:
        sides = [
            np.concatenate(
                [frames[p, phone, state] for p in range(UNSEEN) if left[p] and question[p] == answer]
                or [np.empty((0, 2))]
            )
            for answer in (True, False)
        ]
        small = min(map(len, sides)) < MIN_LEAF
        gains.append(-np.inf if small else sum(map(fitted, sides)) - fitted(np.concatenate(sides)))
    found = best_split(statistics, phone, state, left, questions)
    assert found is not None
    assert found[0] == pytest.approx(max(gains), rel=1e-6)
    assert (found[1] == questions[int(np.argmax(gains))]).all()


def test_questions_are_a_clustering(statistics: UnitStatistics) -> None:
    questions = cluster_questions(statistics)
    as_sets = [frozenset(np.flatnonzero(question)) for question in questions]
    assert as_sets[:PHONES] == [frozenset([phone]) for phone in range(PHONES)]
    assert len(set(as_sets)) == len(as_sets)
    for a in as_sets:  # nodes of one tree: nested or disjoint
        for b in as_sets:
            assert a <= b or b <= a or not a & b


def test_likely_phones_are_clustered_first() -> None:
    means = np.array([0.0, 10.0, 20.0, 20.1, 40.0, 41.0])
    count = np.full((6, 6, 3), 100.0)
    first = count[..., None] * means[:, None, None]  # by phone, the same for all left phones
    second = count[..., None] * (means[:, None, None] ** 2 + 1)
    questions = cluster_questions(
        UnitStatistics(
            count,
            np.broadcast_to(first, (6, 6, 3, 1)).copy(),
            np.broadcast_to(second, (6, 6, 3, 1)).copy(),
            np.full(1, 0.01),
        )
    )
    merged = [set(np.flatnonzero(question)) for question in questions[6:]]
    assert merged[0] == {2, 3}
    assert merged[1] == {4, 5}


def test_the_most_gainful_leaves_are_split_first(statistics: UnitStatistics) -> None:
    questions = cluster_questions(statistics)
    roots = PHONES * 3
    tree = build_tree(statistics, questions, roots + 4)
    everything = np.ones(PHONES, dtype=bool)
    best = sorted(
        (
            split[0]
            for phone in range(2, PHONES)
            for state in range(3)
            if (split := best_split(statistics, phone, state, everything, questions))
        ),
        reverse=True,
    )
    gains = sorted((node.gain for root in tree.roots for node in inner(root)), reverse=True)
    assert tree.num_pdfs == roots + 4
    assert gains[0] == pytest.approx(best[0])
    assert gains[-1] >= best[4] - 1e-9  # what was left unsplit gains less


def inner(node: Node) -> list[Node]:
    return [] if node.yes is None or node.no is None else [node, *inner(node.yes), *inner(node.no)]


def test_table_is_total_and_follows_the_questions(statistics: UnitStatistics) -> None:
    tree = build_tree(statistics, cluster_questions(statistics), 40)
    assert tree.pdfs.dtype == np.int32
    assert set(tree.pdfs.ravel()) == set(range(tree.num_pdfs))
    last = -1
    for index, root in enumerate(tree.roots):
        phone, state = divmod(index, 3)
        for left in range(PHONES):
            node = root
            while node.question is not None and node.yes is not None and node.no is not None:
                node = node.yes if node.question[left] else node.no
            assert tree.pdfs[left, phone, state] == tree.pdfs[node.left, phone, state][0]
            assert node.left[left]
        for leaf in leaves_of(root):  # numbered in order
            (pdf,) = set(tree.pdfs[leaf.left, phone, state])
            assert pdf == last + 1
            last = pdf
            if root is not leaf:
                assert leaf.frames >= MIN_LEAF
    assert (tree.pdfs[:, 0] == [0, 1, 2]).all()  # silence and noise hear no context
    assert (tree.pdfs[:, 1] == [3, 4, 5]).all()


def test_fewer_leaves_where_data_ends(statistics: UnitStatistics) -> None:
    tree = build_tree(statistics, cluster_questions(statistics), 1000)
    assert PHONES * 3 < tree.num_pdfs < 200
    assert all(leaf.frames >= MIN_LEAF for root in tree.roots[6:] for leaf in leaves_of(root) if leaf is not root)


def test_json_names_phones(statistics: UnitStatistics) -> None:
    tree = build_tree(statistics, cluster_questions(statistics), 30)
    shown = tree_json(tree, list("ABCDEFG"))
    assert shown["num_pdfs"] == 30
    split = next(root for root in shown["roots"] if "yes" in root["tree"])
    assert set(split["tree"]["left phone in"]) <= set("ABCDEFG")
    assert shown["roots"][0] == {
        "phone": "A",
        "state": 0,
        "tree": {"pdf": 0, "frames": round(statistics.count[:, 0, 0].sum())},
    }
