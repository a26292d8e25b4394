from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.corpus.subsets import speaker_folds, stratified_subset

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


@settings(max_examples=60, deadline=None)
@given(speakers=speaker_lists, folds=st.integers(1, 4), seed=st.integers(0, 5), data=st.data())
def test_every_speaker_is_in_one_fold_and_every_fold_has_one(
    speakers: list[str], folds: int, seed: int, data: st.DataObject
) -> None:
    frames = data.draw(st.lists(st.integers(1, 500), min_size=len(speakers), max_size=len(speakers)))
    if len(set(speakers)) < folds:
        with pytest.raises(ValueError, match=f"at least {folds} speakers"):
            speaker_folds(speakers, frames, folds, seed)
        return
    fold = speaker_folds(speakers, frames, folds, seed)
    assert len(fold) == len(speakers) and set(fold.tolist()) == set(range(folds))
    assert len(set(zip(speakers, fold.tolist(), strict=True))) == len(set(speakers))
    assert np.array_equal(fold, speaker_folds(speakers, frames, folds, seed))


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.integers(1, 100), min_size=3, max_size=7))
def test_the_largest_fold_against_every_other_split(frames: list[int]) -> None:
    """Graham's bound: (4 F - 1) / (3 F) of the best, by trying all."""
    folds, speakers = 3, [str(s) for s in range(len(frames))]
    fold = speaker_folds(speakers, frames, folds, seed=0)
    best = min(
        max(np.bincount(split, weights=frames, minlength=folds)) for split in product(range(folds), repeat=len(frames))
    )
    largest = max(np.bincount(fold, weights=frames))
    assert best <= largest <= best * (4 * folds - 1) / (3 * folds) + 1e-9


def test_the_seed_orders_speakers_of_as_many_frames() -> None:
    speakers = [str(s) for s in range(20)]
    first, other = (speaker_folds(speakers, [7] * 20, 4, seed) for seed in (1, 2))
    assert not np.array_equal(first, other)
    assert np.bincount(first).tolist() == np.bincount(other).tolist() == [5] * 4
