"""Whether two systems differ by more than chance: the matched pairs test of Gillick and Cox (1989).

"Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989; NIST's sc_stats calls it
MAPSSWE. The errors of one utterance hang together, through the language model most of all, and those on either side of
a few words that both systems got right hardly do. So the test set is cut into segments where two words of the reference
in a row are right in every system (two as in sc_stats: as far as a trigram looks back), and at the ends of utterances.
Of the segments that hold an error, the differences of the two systems' errors are taken as independent, and their mean
as normal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrkd.errors import UserError

END = "|"  # of an utterance, in a row of alignments

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MatchedPairs:
    segments: int  # with an error of either system
    difference: float  # mean over the segments of the first system's errors less the second's
    z: float | None  # that mean over its standard error; None for fewer than two segments, or where all differ alike
    p: float | None  # two-sided, from the normal distribution: of a z as far from 0 between systems that do not differ


def matched_pairs(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> MatchedPairs:
    """Compare two sides, each one system or several, whose errors are averaged.

    A system is its alignments, one an utterance: C, S and D for each word of the reference (right, another word, left
    out) and I for each word too many, in their order. Raises UserError when systems differ in the reference's words.
    """
    tracks = [_errors_by_place(alignments) for alignments in (*ours, *theirs)]
    ends = tracks[0][2]
    for _, _, other in tracks:
        if not np.array_equal(other, ends):
            raise UserError("alignments: expected systems scored on one reference; run stage 10 with --force")
    wrong = np.sum([wrong for wrong, _, _ in tracks], axis=0)  # (K,), over all systems
    inserted = np.sum([inserted for _, inserted, _ in tracks], axis=0)
    errors = np.stack([wrong + inserted for wrong, inserted, _ in tracks])  # (systems, K)
    gaps = errors[: len(ours)].mean(axis=0) - errors[len(ours) :].mean(axis=0)

    segment = _segments((wrong == 0) & ~ends, inserted > 0, ends)  # (K,)
    faulty = np.bincount(segment, weights=wrong + inserted) > 0
    differences = np.bincount(segment, weights=gaps)[faulty]  # (segments,)
    return _test(differences)


def _errors_by_place(alignments: Sequence[str]) -> tuple[Array, Array, Array]:
    """Of K places, each a word of a reference or the end of an utterance: whether the word is wrong, how many words
    were inserted before it, and whether it is an end; (K,) each."""
    row = np.frombuffer("".join(alignment + END for alignment in alignments).encode("ascii"), dtype="S1")
    is_place = row != b"I"
    places = row[is_place]
    before = np.cumsum(is_place) - is_place  # the place that follows
    inserted = np.bincount(before[~is_place], minlength=len(places))
    ends = places == END.encode()
    return ((places != b"C") & ~ends).astype(np.int64), inserted, ends


def _segments(good: Array, inserted_before: Array, ends: Array) -> Array:
    """The segment of every place, (K,), numbered from 0: cut between two good words in a row, and after each end.

    A longer run is cut at each of its words; its pieces hold no error, and the caller drops them.
    """
    linked = good[1:] & good[:-1] & ~inserted_before[1:]  # the word and the one before it belong to one run
    cut = np.concatenate([[False], linked | ends[:-1]])
    return np.cumsum(cut)


def _test(differences: Array) -> MatchedPairs:
    """Gillick and Cox's W = mean / (deviation / sqrt(n)) against the standard normal; differences: (n,)."""
    n = len(differences)
    mean = float(differences.mean()) if n else 0.0
    if not differences.any():
        return MatchedPairs(n, 0.0, 0.0, 1.0)
    deviation = float(differences.std(ddof=1)) if n > 1 else 0.0
    # All alike but for what averaging rounds off.
    if deviation <= 1e-9 * abs(mean) or n < 2:
        return MatchedPairs(n, mean, None, None)
    z = mean / (deviation / math.sqrt(n))
    return MatchedPairs(n, mean, z, math.erfc(abs(z) / math.sqrt(2)))
