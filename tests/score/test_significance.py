import math
from statistics import NormalDist

import numpy as np
import pytest

from asrkd.errors import UserError
from asrkd.score.significance import MatchedPairs, matched_pairs


def test_by_hand() -> None:
    ours = ["SCICCCCDC", "S"]  #  S C  I  C C C C D C | S
    theirs = ["CCCCCCDC", "C"]  # C C     C C C C D C | C
    # Both are right on the third to sixth word, and an insertion comes before the third: S C I C is a segment with 2
    # and 0 errors, C D C one with 1 and 1, the S of the other utterance one with 1 and 0.
    found = matched_pairs([ours], [theirs])
    assert found.segments == 3
    assert found.difference == (2 + 0 + 1) / 3
    assert found.z is not None and math.isclose(found.z, 1 / (1 / math.sqrt(3)))  # the deviation of 2, 0, 1 is 1
    assert found.p is not None and math.isclose(found.p, 2 * NormalDist().cdf(-math.sqrt(3)), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs", "segments"),
    [
        (["SCCS"], ["CCCC"], 2),  # two good words in a row part what is on their sides
        (["SCS"], ["CCC"], 1),  # one does not
        (["SCCS"], ["CSCC"], 1),  # they have to be good in both
        (["SCICS"], ["CCCC"], 1),  # and nothing may be heard between them
        (["ICCI"], ["CC"], 2),
        (["SC", "CS"], ["CC", "CC"], 2),  # a run does not go from one utterance into the next
        (["S", "S"], ["C", "C"], 2),  # and an error neither
        (["I", "", "S"], ["", "", "C"], 2),  # references without a word
        (["SCCCCCCS"], ["CCCCCCCC"], 2),
    ],
)
def test_what_parts_segments(ours: list[str], theirs: list[str], segments: int) -> None:
    assert matched_pairs([ours], [theirs]).segments == segments
    assert matched_pairs([theirs], [ours]).segments == segments


def test_errors_of_several_systems_are_averaged() -> None:
    found = matched_pairs([["SCC", "DSC"]], [["CCC", "SCC"], ["SCC", "CCC"]])
    assert found.segments == 2
    assert found.difference == ((1 - 0.5) + (2 - 0.5)) / 2


def test_no_spread_is_no_test() -> None:
    assert matched_pairs([["SC", "CD"]], [["SC", "DC"]]) == MatchedPairs(2, 0.0, 0.0, 1.0)
    assert matched_pairs([["CC"]], [["CC"]]) == MatchedPairs(0, 0.0, 0.0, 1.0)
    assert matched_pairs([["SC"]], [["CC"]]) == MatchedPairs(1, 1.0, None, None)
    assert matched_pairs([["SC", "S"]], [["CC", "C"]]) == MatchedPairs(2, 1.0, None, None)


def test_other_references_are_refused() -> None:
    with pytest.raises(UserError, match="one reference"):
        matched_pairs([["SC"]], [["SCC"]])


def heard(rng: np.random.Generator, hard: np.ndarray) -> list[str]:
    """Utterances of 15 words (U, 15), each wrong with the probability in `hard`; errors come in pairs, as the language
    model makes them."""
    wrong = rng.random(hard.shape) < hard
    wrong[:, 1:] |= wrong[:, :-1] & (rng.random((len(hard), 14)) < 0.3)
    added = rng.random(hard.shape) < 0.02
    letters = np.where(wrong, np.where(rng.random(hard.shape) < 0.7, "S", "D"), "C")
    return ["".join(row) for row in np.char.add(letters, np.where(added, "I", ""))]


def test_of_systems_that_do_not_differ_one_in_twenty_is_found_to() -> None:
    rng = np.random.default_rng(1)
    below = 0
    for _ in range(1000):
        hard = np.repeat(rng.beta(1, 6, size=(200, 1)), 15, axis=1)  # utterances are hard for both systems alike
        found = matched_pairs([heard(rng, hard)], [heard(rng, hard)])
        below += found.p is not None and found.p < 0.05
    assert 30 <= below <= 70


def test_of_systems_that_differ_most_are_found_to() -> None:
    rng = np.random.default_rng(2)
    hard = np.repeat(rng.beta(1, 6, size=(300, 1)), 15, axis=1)
    found = matched_pairs([heard(rng, 0.7 * hard)], [heard(rng, hard)])
    assert found.p is not None and found.p < 0.001 and found.z is not None and found.z < 0
