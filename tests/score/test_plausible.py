from dataclasses import replace

import numpy as np

from asrkd.score.plausible import Rates, implausible, rates
from asrkd.score.wer import score_texts


def test_rates_by_hand() -> None:
    # u1: 3 words said, 4 heard; u2: 2 said, 1 heard; u3 was not decoded.
    errors = score_texts(
        {"u1": "A B C", "u2": "A B", "u3": "A"}, {"u1": "A B C D", "u2": "B"}, dict.fromkeys(["u1", "u2", "u3"], "s")
    )
    phones = np.array([[20, 5], [15, 60]])  # silence is the first: 25 frames of the labels, 35 of the system
    found = rates(phones, errors, seconds=30.0)
    assert found == Rates(silence=0.35, labelled_silence=0.25, words_a_minute=10.0, reference_words_a_minute=10.0)


def test_more_than_half_as_much_again_is_told_with_both_figures() -> None:
    fine = Rates(0.2, 0.2, 150.0, 150.0)
    assert implausible(fine) == []
    assert implausible(replace(fine, silence=0.29, words_a_minute=101.0)) == []
    (told,) = implausible(replace(fine, silence=0.31))
    assert told == "hears silence in 31.0 % of the frames, the labels have it in 20.0 %"
    (told,) = implausible(replace(fine, words_a_minute=99.0))
    assert told == "hears 99 words a minute, the references have 150"
    assert len(implausible(replace(fine, silence=0.13, words_a_minute=226.0))) == 2
    assert len(implausible(replace(fine, silence=0.0, words_a_minute=0.0))) == 2
    assert implausible(Rates(0.0, 0.0, 150.0, 150.0)) == []
