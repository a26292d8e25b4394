"""The second pass: the n best of each lattice, scored again by a language model that is too large for the graph.

    score = acoustic + lm_scale * (graph + w * (second - first)) - insertion_penalty * words

where `first` and `second` are the natural-log probabilities of the sentence by the graph's model and by the larger one,
so that the lexicon's part of `graph` stays as it is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asrkd.decode.paths import Hypothesis
from asrkd.decode.scales import Point


@dataclass(frozen=True)
class Scored:
    """A hypothesis of an n-best list."""

    text: str
    words: int  # the graph's, for the penalty
    acoustic: float  # scaled
    graph: float
    first: float
    second: float

    def score(self, point: Point) -> float:
        graph = self.graph + point.second_weight * (self.second - self.first)
        return self.acoustic + point.lm_scale * graph - point.insertion_penalty * self.words


def scored(
    hypotheses: Iterable[Hypothesis],
    text_of: Callable[[Sequence[int]], str],
    units_of: Callable[[Sequence[int]], str],
    first: Callable[[str], float],
    second: Callable[[str], float],
) -> list[Scored]:
    """An n-best list under both models, which read the graph's units (words, or pieces of words)."""
    found = []
    for hypothesis in hypotheses:
        units = units_of(hypothesis.words)
        found.append(
            Scored(
                text_of(hypothesis.words),
                len(hypothesis.words),
                hypothesis.acoustic,
                hypothesis.graph,
                first(units),
                second(units),
            )
        )
    return found


def best_text(n_best: Sequence[Scored], point: Point) -> str:
    """Of equals the one that the first pass ranks higher; nothing of an empty list."""
    if not n_best:
        return ""
    return max(n_best, key=lambda hypothesis: hypothesis.score(point)).text
