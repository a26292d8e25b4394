"""The words that the numbers of a graph stand for."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asrkd.lang.pieces import are_pieces, rejoin

VOCABULARY = "vocabulary.txt"


def spelling(graph: Path) -> Callable[[Sequence[int]], str]:
    """The text of word ids, of the graph in a folder; pieces of words are joined."""
    vocabulary = ["", *(graph / VOCABULARY).read_text(encoding="utf-8").split()]
    if are_pieces(vocabulary):
        return lambda words: rejoin(vocabulary[word] for word in words)
    return lambda words: " ".join(vocabulary[word] for word in words)


def units(graph: Path) -> Callable[[Sequence[int]], str]:
    """The graph's own units of word ids, which its language model is over."""
    vocabulary = ["", *(graph / VOCABULARY).read_text(encoding="utf-8").split()]
    return lambda words: " ".join(vocabulary[word] for word in words)
