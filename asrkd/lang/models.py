"""The models of stage 2: the one that the graph is built from, and a larger one for the second pass."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asrkd.config import LangConfig
from asrkd.errors import UserError
from asrkd.lang.coverage import percent, words_of
from asrkd.lang.interpolate import em_weights, word_log_probs, write_mixture
from asrkd.lang.lexicon import UNKNOWN, Lexicon
from asrkd.lang.lm import arpa_words, check_arpa, copy_arpa, estimate_lm, write_binary
from asrkd.lang.scoring import load_lm, perplexity
from asrkd.lang.subword import Segment, segmented
from asrkd.lang.text import sentences
from asrkd.lang.vocabulary import (
    expect_spoken,
    expect_words,
    most_frequent,
    read_vocabulary,
    vocabulary_report,
)
from asrkd.progress import track

RESCORE = "rescore.bin"


@dataclass(frozen=True)
class Text:
    """What a model is estimated from."""

    source: str
    sentences: Callable[[], Iterable[str]]

    @cached_property
    def counts(self) -> Counter[str]:
        """Of its words."""
        lines = track(self.sentences(), what="words of the LM text", unit="sentences")
        return Counter(words_of(lines))


def lm_texts(lang: LangConfig, transcripts: list[str]) -> list[Text]:
    """Of each a model is estimated; of several, their interpolation."""
    more = [_text_file(path) for path in lang.more_lm_texts]
    return [_text_file(lang.lm_text) if lang.lm_text else Text("the training transcripts", lambda: transcripts), *more]


def _text_file(path: str) -> Text:
    return Text(path, lambda: sentences(Path(path)))


def estimated_model(
    lang: LangConfig, lexicon: Lexicon, texts: Sequence[Text], spoken: Mapping[str, list[str]], arpa: Path
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """The vocabulary, and the reports on it and on the model; `spoken`: the transcripts of dev and test.

    Where the model's units are pieces of words, so are those of lexicon, texts and transcripts.
    """
    source = sources_of(texts)
    if lang.lm_unit != "word":
        asked = vocabulary = sorted(lexicon)
    elif lang.vocabulary:
        asked = read_vocabulary(Path(lang.vocabulary))
        vocabulary = [word for word in asked if word in lexicon and word != UNKNOWN]
    else:
        asked = []
        vocabulary = most_frequent(total_counts(texts), lexicon, lang.vocabulary_size)
    expect_words(vocabulary, lang.vocabulary or source, lang)
    if lang.lm_unit == "word":
        expect_spoken(vocabulary, _vocabulary_of(vocabulary, lang.vocabulary or source), lang, spoken)
    left_out = sorted(set(asked) - set(vocabulary))
    model = estimate(texts, vocabulary, spoken["dev"], arpa, order=lang.lm_order, prune=lang.lm_prune)
    return vocabulary, vocabulary_report(vocabulary, left_out), model


def texts_of_pieces(texts: Sequence[Text], segment: Segment) -> list[Text]:
    def in_pieces(text: Text) -> Callable[[], Iterable[str]]:
        return lambda: segmented(text.sentences(), segment)

    return [Text(text.source, in_pieces(text)) for text in texts]


def all_words(lang: LangConfig, texts: Sequence[Text], spoken: Mapping[str, list[str]]) -> Iterator[str]:
    """Each word, once, that a pronunciation can be of use for: the transcripts', the models' and the vocabulary's."""
    words = {word for text in spoken.values() for word in words_of(text)}
    if lang.lm:
        check_arpa(Path(lang.lm))
        words.update(arpa_words(Path(lang.lm)))
    else:
        words.update(*(text.counts for text in texts))
    if lang.vocabulary:
        words.update(read_vocabulary(Path(lang.vocabulary)))
    yield from sorted(words)  # when the first is asked for: a dictionary needs none of this work


def total_counts(texts: Sequence[Text]) -> Counter[str]:
    return sum((text.counts for text in texts), Counter())


def estimate(
    texts: Sequence[Text], vocabulary: list[str], dev: list[str], arpa: Path, *, order: int, prune: list[int]
) -> dict[str, Any]:
    """Writes `arpa`, of several texts the interpolation that suits `dev` best; returns the report on it."""
    if len(texts) == 1:
        return _estimate(texts[0], vocabulary, arpa, order=order, prune=prune, add_unseen=True)
    components = [arpa.with_name(f"component-{number}.tmp") for number in range(len(texts))]
    reports = [
        _estimate(text, vocabulary, component, order=order, prune=prune, add_unseen=False)
        for text, component in zip(texts, components, strict=True)
    ]
    log_probs = word_log_probs(components, vocabulary, dev)
    mixture = em_weights(log_probs)
    write_mixture(components, mixture.weights, vocabulary, arpa)
    for component, report, weight, column in zip(components, reports, mixture.weights, log_probs.T, strict=True):
        component.unlink()
        report["weight"] = round(weight, 4)
        report["perplexity_dev"] = round(math.exp(-column.mean()), 2)  # unknown words left out
    return {
        "source": f"lmplz, interpolated from {sources_of(texts)}",
        "em_steps": len(mixture.log_likelihoods) - 1,
        "components": reports,
        "ngrams": check_arpa(arpa),
    }


def _estimate(
    text: Text, vocabulary: list[str], arpa: Path, *, order: int, prune: list[int], add_unseen: bool
) -> dict[str, Any]:
    unseen = [word for word in vocabulary if word not in text.counts]
    if len(unseen) == len(vocabulary) and not add_unseen:
        raise UserError(
            f"{text.source}: expected words of the vocabulary, in its spelling and case, found none of "
            f"{len(vocabulary):,} ({', '.join(unseen[:3])}; --lm-text, lang.more_lm_texts or lang.vocabulary)"
        )
    # In a mixture the other texts have seen them, and one-word sentences by the thousand would bend a small text.
    added = unseen if add_unseen else []
    if added:
        print(f"{len(added)} words of the vocabulary are not in {text.source}: each is added once, alone", flush=True)
    fallback = estimate_lm(text.sentences(), vocabulary, arpa, order=order, prune=prune, unseen=added)
    total = text.counts.total()
    return {
        "source": f"lmplz, from {text.source}",
        "text_words": total,
        "text_words_outside_percent": percent(total - sum(text.counts[w] for w in vocabulary), total),
        "unseen_words_added": len(added),
        "discount_fallback": fallback,
        "ngrams": check_arpa(arpa),
    }


def _vocabulary_of(vocabulary: list[str], source: str) -> str:
    return f"the vocabulary of {len(vocabulary):,} words from {source}"


def sources_of(texts: Sequence[Text]) -> str:
    return ", ".join(text.source for text in texts)


def given_model(
    lang: LangConfig, lexicon: Lexicon, spoken: Mapping[str, list[str]], arpa: Path
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """The user's model as it is; a vocabulary that is given too restricts what can be decoded."""
    ngrams = check_arpa(Path(lang.lm))
    copy_arpa(Path(lang.lm), arpa)
    modelled = set(arpa_words(arpa))
    asked = read_vocabulary(Path(lang.vocabulary)) if lang.vocabulary else sorted(modelled)
    vocabulary = [word for word in asked if word in lexicon and word in modelled and word != UNKNOWN]
    expect_words(vocabulary, lang.lm, lang)
    expect_spoken(vocabulary, _vocabulary_of(vocabulary, lang.vocabulary or lang.lm), lang, spoken)
    left_out = sorted(set(asked) - set(vocabulary))
    return vocabulary, vocabulary_report(vocabulary, left_out), {"source": lang.lm, "ngrams": ngrams}


def second_model(
    lang: LangConfig, texts: Sequence[Text], vocabulary: list[str], spoken: Mapping[str, list[str]], folder: Path
) -> dict[str, Any]:
    """Writes rescore.bin: the user's, else of a higher order than the graph's, over the same texts and vocabulary.

    Returns the report on it. Raises UserError when the user's has no word of the vocabulary.
    """
    binary, own, arpa = folder / RESCORE, Path(lang.rescore_lm), folder / "rescore.arpa.tmp"
    if lang.rescore_lm:
        report: dict[str, Any] = {"source": lang.rescore_lm, "ngrams": check_arpa(own)}
        copy_arpa(own, arpa)
    else:
        report = estimate(texts, vocabulary, spoken["dev"], arpa, order=lang.rescore_order, prune=lang.rescore_prune)
    write_binary(arpa, binary)
    arpa.unlink()
    model = load_lm(binary)
    missing = [word for word in vocabulary if word not in model]
    if len(missing) == len(vocabulary):
        raise UserError(
            f"{own}: expected words of the vocabulary, in its spelling and case, found none of {len(vocabulary):,} "
            f"({', '.join(missing[:3])}; lang.rescore_lm names another)"
        )
    if missing:
        print(
            f"WARNING: {own}: {len(missing):,} of the {len(vocabulary):,} words of the vocabulary are not in it, for "
            f"example {', '.join(missing[:3])}; the second pass scores them as its <unk>, and hardly ever chooses them",
            flush=True,
        )
    report["vocabulary_words_missing"] = len(missing)
    for split in ("dev", "test"):
        report[split] = perplexity_report(binary, spoken[split])
    return report


def perplexity_report(model: Path, text: Sequence[str]) -> dict[str, Any]:
    found = perplexity(model, track(text, what="perplexity", unit="sentences"))
    return {
        "out_of_language_model_percent": percent(found.unknown, found.words),
        "perplexity": round(found.perplexity, 2),
        "perplexity_without_unknown": round(found.perplexity_known, 2),
    }
