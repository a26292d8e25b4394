"""From counts to rates: what a system scored on a split, and which systems differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrkd.errors import UserError
from asrkd.score.bootstrap import interval, paired_bootstrap
from asrkd.score.wer import WordErrors
from asrkd.systems import System

MEMBERS = "members"  # a baseline: each utterance's errors are the mean of all members'


@dataclass(frozen=True)
class Pair:
    """The paired bootstrap of a system and a baseline. Rates are shares, not percent."""

    system: str
    system_label: str
    baseline: str
    baseline_label: str
    difference: float  # WER of the system less that of the baseline
    interval: tuple[float, float]  # of the difference, 95 %
    better: float  # share of the draws in which the system makes fewer errors


def split_scores(frames: Mapping[str, Any], words: WordErrors | None) -> dict[str, Any]:
    """As the report reads them: shares, not percent; nats. `frames` has the fields of FrameScores; without words (the
    training data is not decoded) there are frame scores alone."""
    scores = {
        "frames": frames["frames"],
        "frame_accuracy": frames["accuracy"],
        "cross_entropy": frames["cross_entropy"],
    }
    if words is None:
        return scores
    return scores | {
        "wer": words.wer,
        "interval": interval(words.errors, words.words),
        "utterances": len(words.ids),
        "words": int(words.words.sum()),
        "substitutions": int(words.substitutions.sum()),
        "deletions": int(words.deletions.sum()),
        "insertions": int(words.insertions.sum()),
        "missing": words.missing,
    }


def compare(words: Mapping[str, WordErrors], systems: Sequence[System]) -> list[Pair]:
    """Every student and the ensemble against the first member and against all, soft against hard targets of each share.

    `words` is system -> its errors on one and the same set. Raises UserError when the sets differ.
    """
    labels = {system.name: system.label for system in systems}
    of_kind = {
        kind: [s.name for s in systems if s.kind == kind] for kind in ("member", "ensemble", "student", "limited")
    }
    first = of_kind["member"][0]
    for name, found in words.items():
        if found.ids != words[first].ids or not np.array_equal(found.words, words[first].words):
            raise UserError(
                f"scores of {name}: not of the same utterances as those of {first}; run stage 10 with --force"
            )
    errors: dict[str, np.ndarray[Any, Any]] = {name: found.errors for name, found in words.items()}
    labels[MEMBERS] = f"mean of {len(of_kind['member'])} members"
    errors[MEMBERS] = np.mean([errors[name] for name in of_kind["member"]], axis=0)

    pairs = [(name, baseline) for name in of_kind["ensemble"] + of_kind["student"] for baseline in (first, MEMBERS)]
    pairs += [(name, name.replace("soft-", "hard-")) for name in of_kind["limited"] if name.startswith("soft-")]
    compared = []
    for name, baseline in pairs:
        result = paired_bootstrap(errors[name], errors[baseline], words[first].words)
        about = (name, labels[name], baseline, labels[baseline])
        compared.append(Pair(*about, result.difference, result.interval, result.better))
    return compared
