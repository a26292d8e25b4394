"""What KenLM says of sentences under a model, ARPA or binary: their probability, and the perplexity of a text."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.errors import UserError


def load_lm(path: Path) -> Any:
    """The `kenlm.Model` of an ARPA or binary file. Raises UserError when KenLM cannot read it."""
    import kenlm

    settings = kenlm.Config()
    settings.show_progress = False
    settings.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(str(path), settings)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: expected a model that KenLM reads, found: {' '.join(str(error).split())} (--lm, lang.rescore_lm; "
            "stage 2 writes those in lang/)"
        ) from None


def sentence_scorer(path: Path) -> Callable[[str], float]:
    """The natural-log probability of a sentence, with <s> before it and </s> at its end; unknown words count as <unk>.

    The words stand with spaces between, as the model has them. Raises UserError when KenLM cannot read the model.
    """
    model, to_ln = load_lm(path), math.log(10)
    return lambda sentence: to_ln * float(model.score(sentence, bos=True, eos=True))


@dataclass(frozen=True)
class Perplexity:
    """Of a text under a model. Each sentence counts as its words and one end, as in KenLM's `query`."""

    sentences: int
    words: int  # ends not counted
    unknown: int  # words that the model does not have
    log10: float  # of the probability of all words and ends, unknown words included
    perplexity: float
    perplexity_known: float  # unknown words left out of the product and of the count, kept in contexts

    @property
    def oov_rate(self) -> float:
        return self.unknown / max(self.words, 1)


def perplexity(path: Path, sentences: Iterable[str]) -> Perplexity:
    """Raises UserError when there is no sentence or KenLM cannot read the model."""
    model = load_lm(path)
    ends = words = unknown = 0
    total = total_unknown = 0.0
    for sentence in sentences:
        ends += 1
        for log10, _, is_unknown in model.full_scores(sentence):
            words += 1
            unknown += is_unknown
            total += log10
            total_unknown += log10 if is_unknown else 0.0
    if not ends:
        raise UserError(f"perplexity of {path.name}: expected a text, found no sentence")
    return Perplexity(
        sentences=ends,
        words=words - ends,
        unknown=unknown,
        log10=total,
        perplexity=10 ** (-total / words),
        perplexity_known=10 ** (-(total - total_unknown) / (words - unknown)),
    )
