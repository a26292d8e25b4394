"""How pieces of words are written: the first of each word begins with a mark, as sentencepiece has it.

Runs under k2's interpreter too: the standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterable

BEGINS = "\u2581"


def are_pieces(vocabulary: Iterable[str]) -> bool:
    """Whether a graph's words are pieces of words."""
    return any(word.startswith(BEGINS) for word in vocabulary)


def rejoin(pieces: Iterable[str]) -> str:
    """The words, with one space between."""
    return "".join(pieces).replace(BEGINS, " ").strip()
