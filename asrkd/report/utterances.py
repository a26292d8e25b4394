"""Some test utterances as the systems heard them, each word marked by what jiwer's alignment says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class Word:
    text: str
    mark: str = (
        ""  # "" right, "sub" another word stands in the reference, "ins" none does, "del" left out by the system
    )
    instead_of: str = ""  # the reference's word for "sub"


@dataclass(frozen=True)
class Example:
    utterance: str
    reference: str
    heard: list[tuple[str, list[Word]]]  # system's label, its words


def examples(
    references: Mapping[str, str], hypotheses: Mapping[str, Mapping[str, str]], count: int = 8
) -> list[Example]:
    """`count` utterances evenly spread over the sorted ids, so that no result has a say in which are shown.

    `references` is id -> words; `hypotheses` is system's label -> id -> words.
    """
    ids = sorted(references)
    chosen = [ids[(2 * place + 1) * len(ids) // (2 * count)] for place in range(count)] if len(ids) > count else ids
    return [
        Example(
            utterance,
            references[utterance],
            [(label, compare(references[utterance], words.get(utterance, ""))) for label, words in hypotheses.items()],
        )
        for utterance in chosen
    ]


def compare(reference: str, hypothesis: str) -> list[Word]:
    """The hypothesis' words in order, with the reference's that it lacks at their place; in capitals, as scored."""
    result = jiwer.process_words(reference.upper(), hypothesis.upper())
    (said,), (heard,), (chunks,) = result.references, result.hypotheses, result.alignments
    words: list[Word] = []
    for chunk in chunks:
        theirs = said[chunk.ref_start_idx : chunk.ref_end_idx]
        ours = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        words += _marked(chunk.type, theirs, ours)
    return words


def _marked(kind: str, theirs: Sequence[str], ours: Sequence[str]) -> list[Word]:
    if kind == "equal":
        return [Word(word) for word in ours]
    if kind == "substitute":
        return [Word(word, "sub", instead) for instead, word in zip(theirs, ours, strict=True)]
    if kind == "insert":
        return [Word(word, "ins") for word in ours]
    return [Word(word, "del") for word in theirs]
