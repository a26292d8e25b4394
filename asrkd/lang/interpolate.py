"""The linear interpolation of n-gram models of one vocabulary: its weights by EM, and the mixture as one ARPA file.

As SRILM's `compute-best-mix` and `ngram -mix-lm` do it (Stolcke 2002): the mixture lists the n-grams that any of the
models lists, each with the weighted mean of what the models say, backed off where need be; backoff weights then make
every history's probabilities sum to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkd.lang.ngrams import NgramTable, NgramTables, read_tables, write_arpa
from asrkd.lang.scoring import load_lm

SYMBOLS = ["<unk>", "<s>", "</s>"]
LEAST = 1e-9  # what a history leaves, at least, to the words that it does not list: the files round to 7 digits
GAIN, STEPS = 1e-10, 10000  # EM ends when a step gains less, in ln probability a word


@dataclass(frozen=True)
class Mixture:
    weights: list[float]
    log_likelihoods: list[float]  # ln, mean of the words; under the weights before each step and, last, under `weights`


def em_weights(log_probs: np.ndarray) -> Mixture:
    """The weights under which the words are most probable (Dempster, Laird and Rubin 1977), from equal ones on.

    log_probs: (N, K), ln of the probability of each word under each model. The likelihood is concave in the weights, so
    that there is one best point.
    """
    best = log_probs.max(axis=1)
    relative = np.exp(log_probs - best[:, None])  # of the best model, so that no product underflows
    weights = np.full(log_probs.shape[1], 1 / log_probs.shape[1])
    log_likelihoods: list[float] = []
    for _ in range(STEPS):
        mixed = relative @ weights
        log_likelihoods.append(float((np.log(mixed) + best).mean()))
        if len(log_likelihoods) > 1 and log_likelihoods[-1] - log_likelihoods[-2] < GAIN:
            break
        weights = weights * (relative / mixed[:, None]).mean(axis=0)
    return Mixture((weights / weights.sum()).tolist(), log_likelihoods)


def word_log_probs(arpas: Sequence[Path], vocabulary: Sequence[str], sentences: Sequence[str]) -> np.ndarray:
    """(N, K): ln of the probability of each word of the vocabulary, and each end, under each model, asked of KenLM.

    Other words are left out, and kept in contexts. A word of the vocabulary that a model lacks has an equal share of
    the model's <unk>, which stands for all of them and for itself.
    """
    known = {*vocabulary, "</s>"}
    columns = []
    for arpa in arpas:
        model = load_lm(arpa)
        share = math.log10(1 + sum(word not in model for word in vocabulary))
        columns.append(
            [
                log10 - share * is_unknown
                for sentence in sentences
                for word, (log10, _, is_unknown) in zip(
                    [*sentence.split(), "</s>"], model.full_scores(sentence), strict=True
                )
                if word in known
            ]
        )
    return math.log(10) * np.array(columns).T


def write_mixture(arpas: Sequence[Path], weights: Sequence[float], vocabulary: Sequence[str], target: Path) -> None:
    """The mixture of lmplz's models of one order, each over some of the vocabulary, as an ARPA file.

    Raises UserError when a model lists an n-gram and not its history or its ending, as no model of lmplz does.
    """
    words = [*SYMBOLS, *vocabulary]
    ids = {word: number for number, word in enumerate(words)}
    models = [_whole(read_tables(arpa, ids), len(words)) for arpa in arpas]
    union = NgramTables(len(words))
    # Of the order at hand, over the union's n-grams: each model's probabilities and backoff weights, and the mixture's.
    mixed = np.zeros(0)
    probs = [np.zeros(0)] * len(models)
    backoffs = [np.zeros(0)] * len(models)
    log_probs, log_backoffs = [], []
    for order, tables in enumerate(zip(*models, strict=True), 1):
        histories, endings = union.add([table.rows for table in tables])
        lower, lower_probs, lower_backoffs = mixed, probs, backoffs
        probs, backoffs = [], []
        for table, prob, backoff in zip(tables, lower_probs, lower_backoffs, strict=True):
            own = union.places(table.rows)
            probs.append(backoff[histories] * prob[endings] if order > 1 else np.zeros(len(words)))
            probs[-1][own] = 10**table.log_probs
            backoffs.append(np.ones(len(probs[-1])))
            backoffs[-1][own] = 10**table.log_backoffs
        mixed = np.sum([weight * prob for weight, prob in zip(weights, probs, strict=True)], axis=0)
        if order > 1:
            left = 1 - np.bincount(histories, mixed, minlength=len(lower))
            left_below = 1 - np.bincount(histories, lower[endings], minlength=len(lower))
            log_backoffs.append(np.log10(np.maximum(left, LEAST) / np.maximum(left_below, LEAST)))
        with np.errstate(divide="ignore"):
            log_probs.append(np.maximum(np.log10(mixed), -99.0))  # <s> is not predicted
    write_arpa(target, words, union.rows, log_probs, log_backoffs)


def _whole(tables: list[NgramTable], size: int) -> list[NgramTable]:
    """With a unigram for every word: the missing ones, and <unk> itself, have equal shares of <unk>."""
    unigrams = tables[0]
    unk = SYMBOLS.index("<unk>")
    missing = np.setdiff1d(np.arange(size), unigrams.rows[:, 0])
    log_probs = unigrams.log_probs.copy()
    log_probs[unigrams.rows[:, 0] == SYMBOLS.index("<s>")] = -np.inf
    log_probs[unigrams.rows[:, 0] == unk] -= math.log10(1 + len(missing))
    share = float(log_probs[unigrams.rows[:, 0] == unk][0])
    whole = NgramTable(
        np.concatenate([unigrams.rows, missing[:, None].astype(np.int32)]),
        np.concatenate([log_probs, np.full(len(missing), share)]),
        np.concatenate([unigrams.log_backoffs, np.zeros(len(missing))]),
    )
    return [whole, *tables[1:]]
