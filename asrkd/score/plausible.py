"""Signs of a wrong prior or of wrong labels: silence and rate of speech of a system against those of the data.

A word error rate does not say why it is high. A system that hears silence in half of the speech, or twice as many words
as there are, has most often been given priors or labels that are not those of its data.
"""

from dataclasses import dataclass

import numpy as np

from asrkd.align.topology import SIL
from asrkd.score.wer import WordErrors

FACTOR = 1.5  # more than so many times as much, or as little, is not the system's fault alone


@dataclass(frozen=True)
class Rates:
    """Of a system on a split, beside those of the labels and of the references."""

    silence: float  # share of the labelled frames whose most probable pdf is one of silence
    labelled_silence: float  # share of them that are labelled so
    words_a_minute: float  # of the hypotheses
    reference_words_a_minute: float  # of the same utterances


def rates(phones: np.ndarray, words: WordErrors, seconds: float) -> Rates:
    """phones: (P, P) frames by the labels' and the system's phone. seconds: of audio. Utterances without a hypothesis
    do not count as said."""
    decoded = ~np.isin(words.ids, words.missing)
    said = words.words[decoded].sum()
    heard = said - words.deletions[decoded].sum() + words.insertions[decoded].sum()
    frames, minutes = phones.sum(), seconds / 60
    return Rates(
        silence=float(phones[:, SIL].sum() / frames),
        labelled_silence=float(phones[SIL].sum() / frames),
        words_a_minute=float(heard / minutes),
        reference_words_a_minute=float(said / minutes),
    )


def implausible(found: Rates) -> list[str]:
    """What differs by more than FACTOR, in words with both figures; nothing where all is well."""
    told = []
    if _far(found.silence, found.labelled_silence):
        told.append(
            f"hears silence in {100 * found.silence:.1f} % of the frames, the labels have it in "
            f"{100 * found.labelled_silence:.1f} %"
        )
    if _far(found.words_a_minute, found.reference_words_a_minute):
        told.append(
            f"hears {found.words_a_minute:.0f} words a minute, the references have {found.reference_words_a_minute:.0f}"
        )
    return told


def _far(one: float, other: float) -> bool:
    return max(one, other) > FACTOR * min(one, other)
