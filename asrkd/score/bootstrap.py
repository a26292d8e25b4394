"""How sure a word error rate, or the difference of two, is: the bootstrap of Bisani and Ney (2004).

"Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004. Utterances are drawn with
replacement, as many as there are; each draw has a word error rate, and the middle 95 % of the draws are the interval.
Two systems are compared on the same draws, so that what is hard for both does not blur their difference.

The utterances of one speaker are more alike than those of two, and an interval from draws of utterances is of the same
speakers on another day. `by_speaker` gives what these functions take when speakers are to be drawn instead, each with
all of its utterances: its interval is of other speakers, and needs dozens of them.

What is drawn must be two at least: of one, every draw is the same, and an interval without width would look certain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 10_000
MIDDLE = (2.5, 97.5)  # percentiles
CELLS = 4_000_000  # drawn utterances that are held at a time

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Comparison:
    difference: float  # WER of a less WER of b
    interval: tuple[float, float] | None  # of the difference, 95 %; None for a single utterance
    better: float | None  # share of the draws in which a makes fewer errors than b; None likewise


def interval(errors: Array, words: Array, draws: int = DRAWS, seed: int = 1) -> tuple[float, float] | None:
    """The 95 % interval of the WER of one system; None for a single utterance. errors, words: (U,) of each."""
    if len(words) < 2:
        return None
    rates = np.concatenate([_rates(drawn, errors, words) for drawn in _resamples(len(words), draws, seed)])
    return _middle(rates)


def paired_bootstrap(errors_a: Array, errors_b: Array, words: Array, draws: int = DRAWS, seed: int = 1) -> Comparison:
    """Compare two systems on the same utterances.

    errors_a, errors_b: (U,) errors in each utterance; they may be means over several models. words: (U,) of the
    references, whose sum is not 0.
    """
    gap = np.asarray(errors_a, dtype=np.float64) - errors_b
    difference = float(gap.sum() / words.sum())
    if len(words) < 2:
        return Comparison(difference, None, None)
    differences = np.concatenate([_rates(drawn, gap, words) for drawn in _resamples(len(words), draws, seed)])
    return Comparison(difference, _middle(differences), float((differences < 0).mean()))


def by_speaker(speakers: Sequence[str], *columns: Array) -> list[Array]:
    """Sums over the utterances of each of S speakers, (S,) each and by name, of columns (U,); speakers: U."""
    names, speaker = np.unique(speakers, return_inverse=True)
    return [np.bincount(speaker, weights=column, minlength=len(names)) for column in columns]


def _resamples(utterances: int, draws: int, seed: int) -> Iterator[Array]:
    """The utterances of each draw, (some draws, U) at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS // utterances)
    for done in range(0, draws, at_once):
        yield rng.integers(utterances, size=(min(at_once, draws - done), utterances), dtype=np.int32)


def _rates(drawn: Array, errors: Array, words: Array) -> Array:
    """(draws,) errors a word. A draw of utterances without a word has as many as it has errors."""
    return errors[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1)


def _middle(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, MIDDLE)
    return float(low), float(high)
