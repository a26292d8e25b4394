import itertools
import math

import numpy as np
import pytest

from asrkd.score import bootstrap
from asrkd.score.bootstrap import interval, paired_bootstrap


def many(seed: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of 1,000 utterances."""
    rng = np.random.default_rng(seed)
    words = rng.integers(5, 40, size=1000)
    return rng.binomial(words, rate), words


def standard_error(errors: np.ndarray, words: np.ndarray) -> float:
    """Of the ratio of two sums over independent utterances, to first order (the delta method)."""
    residuals = errors - errors.sum() / words.sum() * words
    return float(np.sqrt((residuals**2).sum()) / words.sum())


def test_interval_is_the_normal_one_on_many_utterances() -> None:
    errors, words = many(1, 0.2)
    wer, half = errors.sum() / words.sum(), 1.96 * standard_error(errors, words)
    low, high = interval(errors, words)
    assert math.isclose(low, wer - half, abs_tol=0.05 * half)
    assert math.isclose(high, wer + half, abs_tol=0.05 * half)


def test_difference_and_share_are_the_normal_ones_on_many_utterances() -> None:
    errors_a, words = many(1, 0.2)
    noise = np.random.default_rng(3).binomial(6, 0.5, size=len(words)) - 2.98
    result = paired_bootstrap(errors_a, errors_a + noise, words)
    difference, half = -noise.sum() / words.sum(), 1.96 * standard_error(-noise, words)
    assert math.isclose(result.difference, difference, rel_tol=1e-12)
    assert math.isclose(result.interval[0], difference - half, abs_tol=0.05 * half)
    assert math.isclose(result.interval[1], difference + half, abs_tol=0.05 * half)
    z = -difference / standard_error(-noise, words)
    assert math.isclose(result.better, 0.5 * (1 + math.erf(z / math.sqrt(2))), abs_tol=0.02)
    assert 0.01 < result.better < 0.99


def test_share_of_draws_against_all_draws_of_three_utterances() -> None:
    a, b, words = np.array([0, 2, 1]), np.array([1, 0, 1]), np.array([3, 2, 4])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    exact = np.mean([a[draw].sum() < b[draw].sum() for draw in draws])
    assert math.isclose(paired_bootstrap(a, b, words).better, float(exact), abs_tol=0.015)


def test_a_system_against_itself() -> None:
    errors, words = many(2, 0.3)
    result = paired_bootstrap(errors, errors, words)
    assert (result.difference, result.interval, result.better) == (0, (0, 0), 0)


def test_seed_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, words = many(1, 0.2)
    whole = interval(errors, words, draws=500, seed=7)
    assert interval(errors, words, draws=500, seed=8) != whole
    monkeypatch.setattr(bootstrap, "CELLS", 3 * len(words))  # three draws at a time, and two at the end
    assert interval(errors, words, draws=500, seed=7) == whole


def test_utterance_without_words() -> None:
    low, high = interval(np.array([1, 0]), np.array([0, 4]))
    assert low == 0
    assert high == 2  # both draws the utterance whose one word was heard in silence
