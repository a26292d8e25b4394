"""Word errors of every utterance, through jiwer's alignment."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asrkd.errors import UserError
from asrkd.files import read_jsonl, write_jsonl

Counts = np.ndarray[Any, np.dtype[np.int64]]
CODES = {"equal": "C", "substitute": "S", "delete": "D", "insert": "I"}  # jiwer's names, sclite's letters
COUNTS = ("words", "substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class WordErrors:
    """Counts of U utterances, in the order of the references."""

    ids: list[str]  # U
    speakers: list[str]  # U
    words: Counts  # (U,) of the reference
    substitutions: Counts  # (U,)
    deletions: Counts  # (U,)
    insertions: Counts  # (U,)
    missing: list[str]  # the utterances without a hypothesis, whose words all count as deletions
    alignments: list[str]  # U: C, S, D for each word of the reference (right, another, left out), I for one too many

    @property
    def errors(self) -> Counts:
        """(U,)"""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """All errors over all words of the references; a share, which insertions can raise above 1."""
        return float(self.errors.sum() / self.words.sum())


def score_texts(
    references: Mapping[str, str], hypotheses: Mapping[str, str], speakers: Mapping[str, str]
) -> WordErrors:
    """Align `hypotheses` with `references`, both utterance id -> text; speakers: utterance id -> who said it.

    Either text may be empty. Words are compared in capitals and in Unicode's form NFC; nothing else is normalised.
    Raises UserError when a hypothesis has no reference, or when the references have no word.
    """
    unknown = sorted(hypotheses.keys() - references.keys())
    if unknown:
        raise UserError(
            f"hypotheses: found utterance {unknown[0]} (and {len(unknown) - 1} others), which is not in the set; "
            "decode the set again (stage 9 with --force)"
        )
    ids = list(references)
    said = [normalised(references[name]) for name in ids]
    heard = [normalised(hypotheses.get(name, "")) for name in ids]
    if not any(said):
        raise UserError(f"references: expected words to score against, found none in {len(ids)} utterances")
    alignments = [
        "".join(CODES[chunk.type] * _length(chunk) for chunk in chunks)
        for chunks in jiwer.process_words(said, heard).alignments
    ]
    counts = {code: np.array([row.count(code) for row in alignments], dtype=np.int64) for code in CODES.values()}
    return WordErrors(
        ids=ids,
        speakers=[speakers[name] for name in ids],
        words=counts["C"] + counts["S"] + counts["D"],
        substitutions=counts["S"],
        deletions=counts["D"],
        insertions=counts["I"],
        missing=[name for name in ids if name not in hypotheses],
        alignments=alignments,
    )


def write_word_errors(path: Path, errors: WordErrors) -> None:
    missing = set(errors.missing)
    columns = [getattr(errors, name).tolist() for name in COUNTS]
    rows = zip(errors.ids, errors.speakers, *columns, errors.alignments, strict=True)
    names = ("id", "speaker", *COUNTS, "alignment")
    write_jsonl(path, ({**dict(zip(names, row, strict=True)), "missing": row[0] in missing} for row in rows))


def read_word_errors(path: Path) -> WordErrors:
    """Raises UserError when the file is missing or a row of it lacks a value, as those of older versions do."""
    rows = read_jsonl(path)
    try:
        return WordErrors(
            ids=[row["id"] for row in rows],
            speakers=[row["speaker"] for row in rows],
            **{name: np.array([row[name] for row in rows], dtype=np.int64) for name in COUNTS},
            missing=[row["id"] for row in rows if row["missing"]],
            alignments=[row["alignment"] for row in rows],
        )
    except KeyError as error:
        raise UserError(
            f"{path}: expected the word errors of this version, found a row without {error}; score again with --force"
        ) from None


def normalised(text: str) -> str:
    """As it is scored. NFC comes last: capitals of a letter may be a letter and a mark."""
    return " ".join(unicodedata.normalize("NFC", text.upper()).split())


def _length(chunk: Any) -> int:
    """Words in it, of the reference or, for an insertion, of the hypothesis."""
    return max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
