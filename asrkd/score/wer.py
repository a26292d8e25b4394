"""Word errors of every utterance, through jiwer's alignment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asrkd.errors import UserError
from asrkd.experiment import read_jsonl, write_jsonl

Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class WordErrors:
    """Counts of U utterances, in the order of the references."""

    ids: list[str]  # U
    words: Counts  # (U,) of the reference
    substitutions: Counts  # (U,)
    deletions: Counts  # (U,)
    insertions: Counts  # (U,)
    missing: list[str]  # the utterances without a hypothesis, whose words all count as deletions

    @property
    def errors(self) -> Counts:
        """(U,)"""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """All errors over all words of the references; a share, which insertions can raise above 1."""
        return float(self.errors.sum() / self.words.sum())


def score_texts(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> WordErrors:
    """Align `hypotheses` with `references`, both utterance id -> text.

    Either may be empty. Words are compared in capitals; nothing else is normalised. Raises UserError when a hypothesis
    has no reference, or when the references have no word.
    """
    unknown = sorted(hypotheses.keys() - references.keys())
    if unknown:
        raise UserError(
            f"hypotheses: found utterance {unknown[0]} (and {len(unknown) - 1} others), which is not in the set; "
            "decode the set again (stage 9 with --force)"
        )
    ids = list(references)
    said = [_normalised(references[name]) for name in ids]
    heard = [_normalised(hypotheses.get(name, "")) for name in ids]
    if not any(said):
        raise UserError(f"references: expected words to score against, found none in {len(ids)} utterances")
    counts = np.zeros((len(ids), 3), dtype=np.int64)
    column = {"substitute": 0, "delete": 1, "insert": 2}
    for row, chunks in zip(counts, jiwer.process_words(said, heard).alignments, strict=True):
        for chunk in chunks:
            if chunk.type != "equal":
                of_reference = chunk.ref_end_idx - chunk.ref_start_idx  # 0 for insertions
                row[column[chunk.type]] += of_reference or chunk.hyp_end_idx - chunk.hyp_start_idx
    return WordErrors(
        ids=ids,
        words=np.array([len(text.split()) for text in said], dtype=np.int64),
        substitutions=counts[:, 0],
        deletions=counts[:, 1],
        insertions=counts[:, 2],
        missing=[name for name in ids if name not in hypotheses],
    )


def write_word_errors(path: Path, errors: WordErrors) -> None:
    missing = set(errors.missing)
    columns = (errors.words, errors.substitutions, errors.deletions, errors.insertions)
    rows = zip(errors.ids, *(column.tolist() for column in columns), strict=True)
    names = ("id", "words", "substitutions", "deletions", "insertions")
    write_jsonl(path, ({**dict(zip(names, row, strict=True)), "missing": row[0] in missing} for row in rows))


def read_word_errors(path: Path) -> WordErrors:
    rows = read_jsonl(path)
    names = ("words", "substitutions", "deletions", "insertions")
    columns = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in names}
    return WordErrors([row["id"] for row in rows], **columns, missing=[row["id"] for row in rows if row["missing"]])


def _normalised(text: str) -> str:
    return " ".join(text.upper().split())
