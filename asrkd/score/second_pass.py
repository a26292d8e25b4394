"""What a second pass brought, and what the best choice from its n-best lists would have brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkd.decode.split import FIRST_PASS, N_BEST
from asrkd.files import read_jsonl
from asrkd.score.wer import score_texts


@dataclass(frozen=True)
class SecondPass:
    """WER of a split, as shares."""

    first: float  # of the first pass
    second: float  # of the choice from the n-best lists
    oracle: float  # of the hypothesis with the fewest errors in each list: where it is high, the search is the limit


def second_pass(references: Mapping[str, str], folder: Path, second: float) -> SecondPass | None:
    """Of a split that stage 9 decoded into `folder`; None without a second pass. references: utterance id -> text."""
    if not (folder / N_BEST).is_file():
        return None
    first = {row["id"]: row["text"] for row in read_jsonl(folder / FIRST_PASS)}
    lists = {row["id"]: [found["text"] for found in row["n_best"]] for row in read_jsonl(folder / N_BEST)}
    nobody = dict.fromkeys(references, "")
    return SecondPass(score_texts(references, first, nobody).wer, second, oracle_wer(references, lists))


def oracle_wer(references: Mapping[str, str], n_best: Mapping[str, Sequence[str]]) -> float:
    """The least errors of each utterance's hypotheses over all words. An empty list counts as an empty hypothesis."""
    pairs = [(name, rank, text) for name in references for rank, text in enumerate(n_best.get(name) or [""])]
    said = {f"{name} {rank}": references[name] for name, rank, _ in pairs}
    found = score_texts(said, {f"{name} {rank}": text for name, rank, text in pairs}, dict.fromkeys(said, ""))
    firsts = [number for number, (_, rank, _) in enumerate(pairs) if rank == 0]
    return float(np.minimum.reduceat(found.errors, firsts).sum() / found.words[firsts].sum())
