"""From counts to rates: what a system scored on a split, and which systems differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrkd.errors import UserError
from asrkd.score.bootstrap import by_speaker, interval, paired_bootstrap
from asrkd.score.significance import matched_pairs
from asrkd.score.wer import WordErrors
from asrkd.systems import System

MEMBERS = "members"  # a baseline: each utterance's errors are the mean of all members'

Interval = tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """A system and a baseline by the paired bootstrap and the matched pairs test. Rates are shares, not percent."""

    system: str
    system_label: str
    baseline: str
    baseline_label: str
    difference: float  # WER of the system less that of the baseline
    interval: Interval | None  # of the difference, 95 %, utterances drawn; None where there is one
    interval_by_speaker: Interval | None  # of the same, speakers drawn; None where there is one
    better: float | None  # share of the draws of utterances in which the system makes fewer errors; None likewise
    segments: int  # as the fields of MatchedPairs from here on
    difference_per_segment: float
    z: float | None
    p: float | None


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
        "interval_by_speaker": _interval_by_speaker(words),
        "speakers": len(set(words.speakers)),
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
    labels[MEMBERS] = f"mean of {len(of_kind['member'])} members"
    pairs = [(name, baseline) for name in of_kind["ensemble"] + of_kind["student"] for baseline in (first, MEMBERS)]
    pairs += [(student, ensemble) for student in of_kind["student"] for ensemble in of_kind["ensemble"]]
    pairs += [(name, name.replace("soft-", "hard-")) for name in of_kind["limited"] if name.startswith("soft-")]
    compared = []
    for name, baseline in pairs:
        others = [words[other] for other in (of_kind["member"] if baseline == MEMBERS else [baseline])]
        compared.append(_pair((name, labels[name], baseline, labels[baseline]), words[name], others))
    return compared


def _pair(about: tuple[str, str, str, str], ours: WordErrors, others: Sequence[WordErrors]) -> Pair:
    """`others`: the baseline, or several whose errors are averaged."""
    theirs = np.mean([other.errors for other in others], axis=0)  # (U,)
    drawn = paired_bootstrap(ours.errors, theirs, ours.words)
    our_sums, their_sums, said = by_speaker(ours.speakers, ours.errors, theirs, ours.words)  # (S,) each
    of_speakers = paired_bootstrap(our_sums, their_sums, said).interval
    matched = matched_pairs([ours.alignments], [other.alignments for other in others])
    return Pair(
        *about,
        difference=drawn.difference,
        interval=drawn.interval,
        interval_by_speaker=of_speakers,
        better=drawn.better,
        segments=matched.segments,
        difference_per_segment=matched.difference,
        z=matched.z,
        p=matched.p,
    )


def _interval_by_speaker(words: WordErrors) -> Interval | None:
    errors, said = by_speaker(words.speakers, words.errors, words.words)  # (S,)
    return interval(errors, said)
