import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.corpus.subsets import stratified_subset

speaker_lists = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=300)


@settings(max_examples=60, deadline=None)
@given(speakers=speaker_lists, share=st.floats(0.01, 1.0), seed=st.integers(0, 5))
def test_the_share_of_each_speaker(speakers: list[str], share: float, seed: int) -> None:
    chosen = stratified_subset(speakers, share, seed)
    assert (np.diff(chosen) > 0).all()
    of = np.array(speakers)
    for speaker in set(speakers):
        whole, taken = int((of == speaker).sum()), int((of[chosen] == speaker).sum())
        assert 1 <= taken <= whole
        assert taken == 1 or abs(taken - share * whole) < 1


@settings(max_examples=60, deadline=None)
@given(speakers=speaker_lists, low=st.floats(0.01, 1.0), high=st.floats(0.01, 1.0), seed=st.integers(0, 5))
def test_a_smaller_share_lies_in_a_larger_one(speakers: list[str], low: float, high: float, seed: int) -> None:
    low, high = min(low, high), max(low, high)
    assert set(stratified_subset(speakers, low, seed)) <= set(stratified_subset(speakers, high, seed))


@pytest.mark.parametrize("share", [0.03, 0.1, 0.25])
def test_the_share_of_the_whole(share: float) -> None:
    sizes = np.random.default_rng(1).integers(40, 90, size=60)
    speakers = [f"s{s}" for s, n in enumerate(sizes) for _ in range(n)]
    taken = len(stratified_subset(speakers, share, seed=7))
    assert taken == pytest.approx(share * len(speakers), rel=0.05)


def test_the_whole_and_nothing() -> None:
    assert list(stratified_subset(["b", "a", "b"], 1.0, 0)) == [0, 1, 2]
    assert len(stratified_subset([], 0.1, 0)) == 0


def test_fixed_by_the_seed() -> None:
    speakers = ["a"] * 100 + ["b"] * 50
    first = stratified_subset(speakers, 0.1, 3)
    assert np.array_equal(first, stratified_subset(speakers, 0.1, 3))
    assert not np.array_equal(first, stratified_subset(speakers, 0.1, 4))
    # Another speaker's utterances change nothing in which of a speaker's own are in front.
    assert len(set(first[first < 100]) - set(stratified_subset(["a"] * 100 + ["c"] * 9, 0.2, 3))) == 0
