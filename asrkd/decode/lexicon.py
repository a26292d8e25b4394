"""L: from phones to words, with disambiguation symbols and optional silence between words.

The layout is Kaldi's (utils/lang/make_lexicon_fst.py): after every word either nothing or SIL, at even odds. Symbols
#1, #2 ... end pronunciations that are the beginning of others or stand for several words, so that L o G can be
determinised; #0 lets the backoff arcs of G pass.

Where the words are pieces of words, a pause comes before a piece that begins a word, or at the end. k2's
determinisation copies all that follows a choice until one state is left, so that a piece leads to one state for both
kinds of pieces, and the odds of no pause stand at the beginning of the next word.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from asrkd.decode.arpa import FINAL
from asrkd.decode.topology import Transducer
from asrkd.errors import UserError
from asrkd.lang.pieces import BEGINS

SILENCE_PROBABILITY = 0.5


class Lexicon(NamedTuple):
    """L: label phone + 1 or, from `first_disambiguation` on, a disambiguation symbol; output word id or `backoff`."""

    transducer: Transducer
    first_disambiguation: int
    backoff: int


def word_ids(vocabulary: Sequence[str]) -> dict[str, int]:
    """Ids from 1, in the vocabulary's order; 0 is epsilon."""
    return {word: number for number, word in enumerate(vocabulary, 1)}


def lexicon_transducer(
    entries: Iterable[tuple[str, Sequence[str]]], words: dict[str, int], phones: Sequence[str], silence: int = 0
) -> Lexicon:
    """L of the pronunciations (word, phones) whose word is in `words`.

    Raises UserError for a word of `words` without a pronunciation, or a pronunciation with an unknown phone.
    """
    pronunciations = _pronunciations(entries, words, phones)
    marks = _marks([labels for _, labels in pronunciations])
    backoff_phone = len(phones) + 1  # #0; #1 is the next one
    after_silence = backoff_phone + max(marks) + 1
    backoff = len(words) + 1

    start, loop, before_silence, closing = 0, 1, 2, 3
    begin = {id_ for word, id_ in words.items() if word.startswith(BEGINS)}
    opened = closing + 1 if begin else loop  # where a word must begin
    without, with_ = math.log(1 - SILENCE_PROBABILITY), math.log(SILENCE_PROBABILITY)
    arcs: list[tuple[int, int, int, int, float]] = [
        (start, opened, 0, 0, without),
        (start, before_silence, 0, 0, with_),
        (before_silence, closing, silence + 1, 0, 0.0),
        (closing, opened, after_silence, 0, 0.0),
        (loop, loop, backoff_phone, backoff, 0.0),
    ]
    if begin:
        arcs.append((opened, opened, backoff_phone, backoff, 0.0))
    state = max(closing, opened) + 1
    for mark, (word, labels) in zip(marks, pronunciations):  # noqa: B905  (Python 3.8 under k2)
        path = [*labels, backoff_phone + mark] if mark else labels
        sources, output = [(loop, without if word in begin else 0.0)], word
        if word in begin:
            sources.append((opened, 0.0))
        for label in path[:-1]:
            arcs += [(source, state, label, output, score) for source, score in sources]
            sources, output, state = [(state, 0.0)], 0, state + 1
        for source, score in sources:
            arcs.append((source, loop, path[-1], output, score + (0.0 if begin else without)))
            arcs.append((source, before_silence, path[-1], output, score + with_))
    arcs.append((loop, state, FINAL, FINAL, without if begin else 0.0))
    if begin:
        arcs.append((opened, state, FINAL, FINAL, 0.0))
    src, dst, label_, output_ = (np.array([arc[column] for arc in arcs], dtype=np.int32) for column in range(4))
    scores = np.array([arc[4] for arc in arcs], dtype=np.float32)
    return Lexicon(Transducer(src, dst, label_, output_, scores), backoff_phone, backoff)


def _pronunciations(
    entries: Iterable[tuple[str, Sequence[str]]], words: dict[str, int], phones: Sequence[str]
) -> list[tuple[int, list[int]]]:
    """(word id, labels), sorted and without duplicates."""
    number = {phone: label for label, phone in enumerate(phones, 1)}
    found: set[tuple[int, tuple[int, ...]]] = set()
    for word, spoken in entries:
        if word not in words:
            continue
        if not spoken or any(phone not in number for phone in spoken):
            raise UserError(
                f"lexicon: expected {word} in the {len(phones)} phones of phones.txt, found "
                f"{' '.join(spoken) or 'none'}; run stage 2 again"
            )
        found.add((words[word], tuple(number[phone] for phone in spoken)))
    spoken_words = {word for word, _ in found}
    silent = [word for word, id_ in words.items() if id_ not in spoken_words]
    if silent or not found:
        raise UserError(
            f"lexicon: expected a pronunciation for every word of the vocabulary, found none for {len(silent)} "
            f"({', '.join(silent[:5])}); run stage 2 again"
        )
    return [(word, list(labels)) for word, labels in sorted(found)]


def _marks(pronunciations: Sequence[Sequence[int]]) -> list[int]:
    """The disambiguation symbol of each pronunciation: 0 for none, else the first that none of its homophones has."""
    whole = [tuple(labels) for labels in pronunciations]
    count = Counter(whole)
    beginnings = {labels[:length] for labels in whole for length in range(1, len(labels))}
    given: Counter[tuple[int, ...]] = Counter()
    marks = []
    for labels in whole:
        if count[labels] > 1 or labels in beginnings:
            given[labels] += 1
        marks.append(given[labels])
    return marks
