"""Who is understood how well, and which words are taken for which: word errors by speaker and by word."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asrkd.score.bootstrap import by_speaker
from asrkd.score.wer import WordErrors, normalised

KINDS = {"S": "substitution", "D": "deletion", "I": "insertion"}


@dataclass(frozen=True)
class SpeakerErrors:
    speaker: str
    utterances: int
    words: int  # of the references
    substitutions: int
    deletions: int
    insertions: int
    wer: float | None  # a share; None where the references of the speaker have no word


@dataclass(frozen=True)
class Confusion:
    kind: str  # substitution, deletion or insertion
    reference: str  # empty for an insertion
    hypothesis: str  # empty for a deletion
    count: int


def speaker_errors(errors: WordErrors) -> list[SpeakerErrors]:
    """Of each speaker, sorted by name."""
    counts = (errors.words, errors.substitutions, errors.deletions, errors.insertions)
    sums = by_speaker(errors.speakers, np.ones(len(errors.ids)), *counts)  # (S,) each
    rows = []
    for speaker, *of_speaker in zip(sorted(set(errors.speakers)), *sums, strict=True):
        utterances, words, wrong, lost, added = map(int, of_speaker)
        wer = (wrong + lost + added) / words if words else None
        rows.append(SpeakerErrors(speaker, utterances, words, wrong, lost, added, wer))
    return rows


def confusions(
    references: Mapping[str, str], hypotheses: Mapping[str, str], errors: WordErrors, top: int
) -> list[Confusion]:
    """The `top` most frequent errors of each kind, kind by kind, the most frequent first, then by the alphabet.

    Both texts are utterance id -> text, and `errors` is what score_texts made of them.
    """
    found: dict[str, Counter[tuple[str, str]]] = {code: Counter() for code in KINDS}
    for name, alignment in zip(errors.ids, errors.alignments, strict=True):
        said = iter(normalised(references[name]).split())
        heard = iter(normalised(hypotheses.get(name, "")).split())
        for code in alignment:
            pair = ("" if code == "I" else next(said), "" if code == "D" else next(heard))
            if code in KINDS:
                found[code][pair] += 1
    return [
        Confusion(KINDS[code], *pair, count)
        for code, counter in found.items()
        for pair, count in sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:top]
    ]
