"""N-grams of ARPA files as arrays, so that models of millions of them can be merged in memory."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkd.errors import UserError
from asrkd.files import replacing
from asrkd.lang.text import numbered_lines
from asrkd.progress import track

BLOCK = 100_000  # n-grams that are written at once


class NgramTable(NamedTuple):
    """Those of one order."""

    rows: np.ndarray  # (N, order) int32 word ids
    log_probs: np.ndarray  # (N,) log10
    log_backoffs: np.ndarray  # (N,) log10, 0 where the file has none


def read_tables(arpa: Path, ids: Mapping[str, int]) -> list[NgramTable]:
    """The n-grams of a checked ARPA file, by order; `ids` numbers all its words."""
    tables: list[NgramTable] = []
    rows, log_probs, log_backoffs = array("i"), array("d"), array("d")
    order = 0
    for _, line in track(numbered_lines(arpa), what=f"n-grams of {arpa.name}", unit="lines"):
        fields = line.split()
        if not fields:
            continue
        if fields[0] in (f"\\{order + 1}-grams:", "\\end\\"):
            if order:
                shaped = np.array(rows, dtype=np.int32).reshape(-1, order)
                tables.append(NgramTable(shaped, np.array(log_probs), np.array(log_backoffs)))
            rows, log_probs, log_backoffs = array("i"), array("d"), array("d")
            order += 1
        elif order:
            log_probs.append(float(fields[0]))
            rows.extend(ids[word] for word in fields[1 : order + 1])
            log_backoffs.append(float(fields[order + 1]) if len(fields) > order + 1 else 0.0)
    return tables


class NgramTables:
    """The union of several models' n-grams, from the unigrams up. An n-gram's place is its rank within its order.

    Places make the next order's n-grams numbers: history's place * words + last word, which are sorted and searched.
    """

    def __init__(self, words: int) -> None:
        self.words = words
        self.rows: list[np.ndarray] = []  # of each order (N, order)
        self._keys: list[np.ndarray] = []  # of each order (N,), sorted

    def add(self, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The next order, from the rows of all models; the places of its n-grams' histories and endings (N,) in the
        order below, which for unigrams are of no use.

        Raises UserError when a history or an ending is not there.
        """
        every = np.concatenate(rows)
        histories = self.places(every[:, :-1])
        keys, first = np.unique(histories * self.words + every[:, -1], return_index=True)
        self.rows.append(every[first])
        self._keys.append(keys)
        return histories[first], self.places(every[first, 1:])

    def places(self, rows: np.ndarray) -> np.ndarray:
        """(N,) of n-grams (N, order), an empty one's being 0."""
        found = np.zeros(len(rows), dtype=np.int64)
        for keys, words in zip(self._keys, rows.T, strict=False):
            wanted = found * self.words + words
            found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            if (keys[found] != wanted).any():
                raise UserError(
                    "interpolation: expected the history and the ending of every n-gram among the shorter ones, found "
                    "one without; prune higher orders at least as much as lower ones (lang.lm_prune)"
                )
        return found


def write_arpa(
    path: Path,
    words: Sequence[str],
    rows: Sequence[np.ndarray],
    log_probs: Sequence[np.ndarray],
    log_backoffs: Sequence[np.ndarray],
) -> None:
    """Of each order its n-grams (N, order), their log10 probabilities (N,) and, below the highest, backoff weights."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {order}={len(table)}\n" for order, table in enumerate(rows, 1))
        for order, table in enumerate(rows, 1):
            file.write(f"\n\\{order}-grams:\n")
            backoffs = log_backoffs[order - 1] if order < len(rows) else None
            for first in track(range(0, len(table), BLOCK), what=f"{order}-grams of {path.name}", unit="blocks"):
                block = slice(first, first + BLOCK)
                own = None if backoffs is None else backoffs[block]
                file.writelines(_entries(words, table[block], log_probs[order - 1][block], own))
        file.write("\n\\end\\\n")


def _entries(
    words: Sequence[str], rows: np.ndarray, log_probs: np.ndarray, log_backoffs: np.ndarray | None
) -> Iterator[str]:
    spelt = (" ".join(words[word] for word in row) for row in rows.tolist())
    if log_backoffs is None:
        for ngram, log_prob in zip(spelt, log_probs.tolist(), strict=True):
            yield f"{log_prob:.7g}\t{ngram}\n"
    else:
        for ngram, log_prob, backoff in zip(spelt, log_probs.tolist(), log_backoffs.tolist(), strict=True):
            yield f"{log_prob:.7g}\t{ngram}\t{backoff:.7g}\n"
