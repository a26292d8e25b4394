import itertools
import math
from typing import TypeVar

import numpy as np
import pytest

from asrkd.score import bootstrap
from asrkd.score.bootstrap import by_speaker, interval, paired_bootstrap

T = TypeVar("T")


def some(value: T | None) -> T:
    """What there is for two utterances and more."""
    assert value is not None
    return value


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
    low, high = some(interval(errors, words))
    assert math.isclose(low, wer - half, abs_tol=0.05 * half)
    assert math.isclose(high, wer + half, abs_tol=0.05 * half)


def test_difference_and_share_are_the_normal_ones_on_many_utterances() -> None:
    errors_a, words = many(1, 0.2)
    noise = np.random.default_rng(3).binomial(6, 0.5, size=len(words)) - 2.98
    result = paired_bootstrap(errors_a, errors_a + noise, words)
    difference, half = -noise.sum() / words.sum(), 1.96 * standard_error(-noise, words)
    assert math.isclose(result.difference, difference, rel_tol=1e-12)
    assert math.isclose(some(result.interval)[0], difference - half, abs_tol=0.05 * half)
    assert math.isclose(some(result.interval)[1], difference + half, abs_tol=0.05 * half)
    z = -difference / standard_error(-noise, words)
    assert math.isclose(some(result.better), 0.5 * (1 + math.erf(z / math.sqrt(2))), abs_tol=0.02)
    assert 0.01 < some(result.better) < 0.99


def test_share_of_draws_against_all_draws_of_three_utterances() -> None:
    a, b, words = np.array([0, 2, 1]), np.array([1, 0, 1]), np.array([3, 2, 4])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    exact = np.mean([a[draw].sum() < b[draw].sum() for draw in draws])
    assert math.isclose(some(paired_bootstrap(a, b, words).better), float(exact), abs_tol=0.015)


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


def test_a_single_utterance_has_no_interval() -> None:
    # All 10,000 draws of one utterance are that one: the percentiles would be its rate, twice.
    assert interval(np.array([1]), np.array([4])) is None
    result = paired_bootstrap(np.array([1]), np.array([2]), np.array([4]))
    assert (result.difference, result.interval, result.better) == (-0.25, None, None)
    assert interval(np.array([1, 1]), np.array([4, 4])) == (0.25, 0.25)  # of two there are other draws


def test_utterance_without_words() -> None:
    low, high = some(interval(np.array([1, 0]), np.array([0, 4])))
    assert low == 0
    assert high == 2  # both draws the utterance whose one word was heard in silence


def test_sums_by_speaker() -> None:
    errors, words = by_speaker(["b", "a", "b"], np.array([1, 2, 4]), np.array([10, 20, 40]))
    assert (errors.tolist(), words.tolist()) == ([2, 5], [20, 50])  # of a and of b


def simulated(rng: np.random.Generator, speakers: int, of_each: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of utterances, speaker by speaker. A speaker's error rate is 0.2 on average over all speakers,
    and so is therefore the true WER; `spread` is its standard deviation, that over utterances 0.1."""

    def rates(mean: np.ndarray, deviation: float) -> np.ndarray:
        strength = mean * (1 - mean) / deviation**2 - 1
        return rng.beta(mean * strength, (1 - mean) * strength)

    average = np.full(speakers, 0.2)
    of_speakers = np.clip(rates(average, spread), 0.02, 0.98) if spread else average
    words = rng.integers(5, 30, size=speakers * of_each)
    return rng.binomial(words, rates(np.repeat(of_speakers, of_each), 0.1)), words


def test_the_interval_holds_the_true_rate_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for seed in range(1000):
        errors, words = simulated(rng, speakers=150, of_each=1, spread=0)
        low, high = some(interval(errors, words, draws=1000, seed=seed))
        inside += low <= 0.2 <= high
    assert 930 <= inside <= 970


def test_where_speakers_differ_the_interval_by_speaker_holds_it() -> None:
    rng = np.random.default_rng(5)
    inside = {"utterance": 0, "speaker": 0}
    for seed in range(400):
        errors, words = simulated(rng, speakers=40, of_each=5, spread=0.1)
        speakers = [f"s{number // 5}" for number in range(len(words))]
        for drawn, (e, w) in {"utterance": (errors, words), "speaker": by_speaker(speakers, errors, words)}.items():
            low, high = some(interval(e, w, draws=1000, seed=seed))
            inside[drawn] += low <= 0.2 <= high
    assert inside["speaker"] / 400 > 0.91
    assert inside["utterance"] / 400 < 0.85


def test_paired_by_speaker_is_the_normal_one_over_speakers() -> None:
    rng = np.random.default_rng(6)
    words = np.full(1000, 10)
    gap = np.repeat(rng.normal(0.3, 1, size=200), 5)  # 200 speakers of five utterances, one difference each
    speakers = [f"s{number // 5:03d}" for number in range(1000)]
    ours, theirs, said = by_speaker(speakers, gap, np.zeros(1000), words)
    of_speakers = paired_bootstrap(ours, theirs, said)
    of_utterances = paired_bootstrap(gap, np.zeros(1000), words)
    assert math.isclose(of_speakers.difference, of_utterances.difference, rel_tol=1e-12)
    half = 1.96 * gap.std() / 10 / math.sqrt(200)
    assert math.isclose(some(of_speakers.interval)[1] - some(of_speakers.interval)[0], 2 * half, rel_tol=0.05)
    width = some(of_utterances.interval)[1] - some(of_utterances.interval)[0]
    assert math.isclose(width, 2 * half / math.sqrt(5), rel_tol=0.05)  # five times the draws that there are
