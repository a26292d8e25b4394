"""An ARPA language model of any order as a finite-state acceptor G.

A state is a history, an arc an n-gram. A word that a history does not list is reached over the backoff arc to the
history without its oldest word. Runs under k2's interpreter too: the standard library and numpy alone.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkd.errors import UserError

FINAL = -1  # k2's label of an arc into the final state
_START, _END = "<s>", "</s>"
_START_ID = 0  # of <s> in a history; words are numbered from 1


class Arcs(NamedTuple):
    """Arcs of an acceptor: state 0 is the start, the highest state is final."""

    src: np.ndarray  # (A,) int32
    dst: np.ndarray  # (A,) int32
    label: np.ndarray  # (A,) int32
    score: np.ndarray  # (A,) float32, natural logarithm


def read_grammar(path: Path, words: dict[str, int], backoff: int) -> Arcs:
    """G of the ARPA file `path` over the words of `words` (word -> id, from 1), `backoff` the label of backoff arcs.

    N-grams with other words (also <unk>) are left out. A history that no n-gram extends has no state of its own: arcs
    lead straight to where it would back off, with its backoff weight added, which changes no score.

    Raises UserError when the file is no ARPA model, or lists an n-gram without the (n-1)-gram that is its history.
    """
    states: dict[tuple[int, ...], int] = {(): 0, (_START_ID,): 1}
    backed_off_to = array("i", [0, 0])  # of each state
    weight = array("d", [0.0, 0.0])  # of each state's backoff
    extended = bytearray([1, 1])  # whether a state has an arc other than its backoff
    src, dst, label, score = array("i"), array("i"), array("i"), array("d")

    def add(source: int, target: int, word: int, log_prob: float) -> None:
        src.append(source)
        dst.append(target)
        label.append(word)
        score.append(log_prob)

    for order, highest, words_of, log_prob, log_backoff, where in _ngrams(path):
        history = _history(words_of[:-1], words)
        if history is None:
            continue
        word = words_of[-1]
        if word == _START:
            if order == 1:
                weight[1] = log_backoff
            continue
        state = states.get(history)
        if state is None:
            raise UserError(
                f"{where}: expected the history '{' '.join(words_of[:-1])}' among the {order - 1}-grams, found it "
                "nowhere; estimate the model again without removing the histories of n-grams"
            )
        if word == _END:
            add(state, -1, FINAL, log_prob)
            extended[state] = 1
            continue
        if word not in words:
            continue
        ngram = (*history, words[word])
        if order < highest:
            target = states[ngram] = len(weight)
            backed_off_to.append(_longest(ngram[1:], states))
            weight.append(log_backoff)
            extended.append(0)
        else:
            target = _longest(ngram[1:], states)
        add(state, target, ngram[-1], log_prob)
        extended[state] = 1
    if not src:
        raise UserError(f"{path}: expected n-grams of the vocabulary, found none; make both from one text (stage 2)")
    return _number(
        np.frombuffer(extended, dtype=np.uint8).astype(bool),
        np.array(backed_off_to, dtype=np.int64),
        np.array(weight),
        Arcs(np.array(src, np.int64), np.array(dst, np.int64), np.array(label, np.int32), np.array(score)),
        backoff,
    )


def _history(words_of: list[str], words: dict[str, int]) -> tuple[int, ...] | None:
    """Ids of a history's words; None when it holds another word, or <s> elsewhere than at its beginning."""
    ids = []
    for position, word in enumerate(words_of):
        if word == _START and position == 0:
            ids.append(_START_ID)
        elif word in words:
            ids.append(words[word])
        else:
            return None
    return tuple(ids)


def _longest(history: tuple[int, ...], states: dict[tuple[int, ...], int]) -> int:
    """The state of the longest suffix of `history` that has one; the empty history always does."""
    while history not in states:
        history = history[1:]
    return states[history]


def _number(extended: np.ndarray, backed_off_to: np.ndarray, weight: np.ndarray, arcs: Arcs, backoff: int) -> Arcs:
    """Backoff arcs added, states without an arc of their own skipped; <s> is state 0, the final state the last."""
    shortcut = np.arange(len(extended))  # where an arc into a state leads in the end
    gained = np.zeros(len(extended))
    while not extended[shortcut].all():
        skipped = ~extended[shortcut]
        gained[skipped] += weight[shortcut[skipped]]
        shortcut[skipped] = backed_off_to[shortcut[skipped]]

    kept = np.flatnonzero(extended)
    kept[:2] = kept[1::-1]  # <s>, then the empty history
    number = np.full(len(extended) + 1, -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    number[-1] = len(kept)  # an arc into -1 is one into the final state

    inner = arcs.dst >= 0
    dst, score = arcs.dst.copy(), arcs.score.copy()
    score[inner] += gained[dst[inner]]
    dst[inner] = shortcut[dst[inner]]
    backing = kept[kept != 0]
    lower = backed_off_to[backing]
    return Arcs(
        np.concatenate([number[arcs.src], number[backing]]),
        np.concatenate([number[dst], number[shortcut[lower]]]),
        np.concatenate([arcs.label, np.full(len(backing), backoff, dtype=np.int32)]),
        np.concatenate([score, weight[backing] + gained[lower]]).astype(np.float32),
    )


def _ngrams(path: Path) -> Iterator[tuple[int, int, list[str], float, float, str]]:
    """Of each n-gram order, highest order, words, ln probability, ln backoff weight and line; lowest order first."""
    to_ln = math.log(10.0)
    highest = order = 0
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if not fields:
                continue
            if fields[0] == "\\end\\":
                if order == highest > 0:
                    return
                break
            if fields[0] == "ngram" and order == 0:
                highest += 1
            elif fields[0] == f"\\{order + 1}-grams:":
                order += 1
            elif order > 0:
                try:
                    log_prob = float(fields[0]) * to_ln
                    log_backoff = float(fields[order + 1]) * to_ln if len(fields) > order + 1 else 0.0
                except ValueError:
                    log_prob = math.nan
                if not order + 1 <= len(fields) <= order + 2 or math.isnan(log_prob):
                    raise UserError(
                        f"{path}, line {number}: expected a log10 probability, {order} words and perhaps a backoff "
                        f"weight, found {line.strip()[:80]!r}; lang.lm names an ARPA file"
                    )
                yield order, highest, fields[1 : order + 1], log_prob, log_backoff, f"{path}, line {number}"
    raise UserError(
        f"{path}: expected an ARPA model from \\data\\ to \\end\\, found its end after {order} of {highest} orders; "
        "lang.lm names an ARPA file"
    )
