"""What a system gets wrong on test, and for whom: its speakers, words and phones, read back from EXP/counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.errors import UserError
from asrkd.files import read_json, read_jsonl
from asrkd.report.cells import NONE
from asrkd.report.scores import Score, Scores
from asrkd.report.table import Table
from asrkd.score.confusions import KINDS, Confusion, SpeakerErrors
from asrkd.score.phones import phone_accuracy
from asrkd.score.plausible import FACTOR, Rates, implausible

SPLIT = "test"


@dataclass(frozen=True)
class Details:
    speakers: list[SpeakerErrors]
    confusions: list[Confusion]
    phones: list[str]  # P names
    frames: np.ndarray  # (P, P) by the labels' phone and the system's


def read_details(exp: Path, system: str) -> Details:
    """Raises UserError when a file is missing or holds something else."""
    folder = exp / "counts" / system
    mend = "run.sh --stage 10 --force"
    phones = [str(name) for name in read_json(exp / "align" / "label_set.json")["phones"]]
    path = folder / f"phones-{SPLIT}.npy"
    try:
        frames = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: expected frames by phone, found {error}; {mend}") from None
    if frames.shape != (len(phones), len(phones)):
        raise UserError(f"{path}: expected frames by the {len(phones)} phones, found {frames.shape}; {mend}")
    try:
        speakers = [SpeakerErrors(**row) for row in read_jsonl(folder / f"speakers-{SPLIT}.jsonl")]
        confusions = [Confusion(**row) for row in read_jsonl(folder / f"confusions-{SPLIT}.jsonl")]
    except TypeError as error:
        raise UserError(f"{folder}: expected the counts of stage 10, found {error}; {mend}") from None
    return Details(speakers, confusions, phones, frames)


def read_rates(exp: Path, scores: Scores) -> dict[str, Rates]:
    """system -> silence and words a minute on test."""
    found = {}
    for score in scores.all():
        path = exp / "counts" / score.system.name / "rates.json"
        try:
            found[score.system.name] = Rates(**read_json(path)[SPLIT])
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path}: expected the rates of stage 10, found {error!r}; run.sh --stage 10 --force"
            ) from None
    return found


def details_json(details: Details) -> dict[str, Any]:
    return {
        "speakers": [asdict(row) for row in details.speakers],
        "confusions": [asdict(row) for row in details.confusions],
        "phones": details.phones,
        "frames_by_phone": details.frames.tolist(),
    }


def speakers_table(score: Score, details: Details) -> Table:
    """The worst understood first."""
    ordered = sorted(details.speakers, key=lambda s: (s.wer is None, -(s.wer or 0.0), s.speaker))
    rows = [
        [
            s.speaker,
            str(s.utterances),
            f"{s.words:,}",
            NONE if s.wer is None else f"{100 * s.wer:.1f}",
            *map(str, (s.substitutions, s.deletions, s.insertions)),
        ]
        for s in ordered
    ]
    drawn, of_utterances = score.test.interval_by_speaker, score.test.interval
    notes = [
        "Test has one speaker, so that nothing is known of how others are understood."
        if drawn is None or of_utterances is None
        else f"With speakers drawn, each with all of its utterances, the 95 % interval of the WER is {drawn[0]:.1f} to "
        f"{drawn[1]:.1f}; with utterances drawn, {of_utterances[0]:.1f} to {of_utterances[1]:.1f}."
    ]
    columns = ["Speaker", "Utterances", "Words", "WER", "Sub.", "Del.", "Ins."]
    return Table("speakers", f"Speakers of test, {score.system.label}", columns, rows, notes)


def confusions_table(score: Score, details: Details) -> Table:
    """The kinds side by side, each with its most frequent first."""
    lists: list[list[tuple[str, str]]] = []
    for kind in KINDS.values():
        own = [row for row in details.confusions if row.kind == kind]
        lists.append([(" → ".join(filter(None, (row.reference, row.hypothesis))), str(row.count)) for row in own])
    longest = max(map(len, lists))
    filled = [own + [("", "")] * (longest - len(own)) for own in lists]
    rows = [[cell for pair in row for cell in pair] for row in zip(*filled, strict=True)]
    columns = ["Said → heard", "times", "Left out", "times", "Added", "times"]
    notes = [f"The most frequent errors of each kind on test, of {score.test.words:,} words."]
    return Table("confusions", f"Words confused, {score.system.label}", columns, rows, notes)


def phones_table(score: Score, details: Details) -> Table:
    """Of the phones that have frames on test, the worst heard first."""
    accuracy = phone_accuracy(details.frames)  # (P,)
    counts = details.frames.sum(axis=1)
    others = details.frames.copy()
    np.fill_diagonal(others, 0)
    rows = []
    for phone in sorted(np.flatnonzero(counts), key=lambda p: accuracy[p]):
        other = int(others[phone].argmax())
        share = others[phone, other] / counts[phone]
        taken = [details.phones[other], f"{100 * share:.1f}"] if share else [NONE, NONE]
        rows.append([details.phones[phone], f"{counts[phone]:,}", f"{100 * accuracy[phone]:.1f}", *taken])
    right = 100 * np.trace(details.frames) / details.frames.sum()
    notes = [
        "Percent of the frames that the labels give to a phone, by the phone of the most probable pdf, whatever its "
        f"state and left context: of all frames {right:.1f} % have the right phone."
    ]
    columns = ["Phone", "Frames", "Right", "Most often taken for", "in"]
    return Table("phones", f"Frames by phone, {score.system.label}", columns, rows, notes)


def rates_table(scores: Scores, rates: Mapping[str, Rates]) -> Table:
    columns = ["", "Silence, % of the frames", "of the labels", "Words a minute", "of the references"]
    rows, notes = [], []
    for score in scores.all():
        own = rates[score.system.name]
        silences = [f"{100 * share:.1f}" for share in (own.silence, own.labelled_silence)]
        words = [f"{rate:.0f}" for rate in (own.words_a_minute, own.reference_words_a_minute)]
        rows.append([score.system.label, *silences, *words])
        notes += [f"{score.system.label} {what}." for what in implausible(own)]
    notes.insert(
        0,
        f"On test. A figure more than {FACTOR:g} times the one beside it, or less than 1/{FACTOR:g} of it, most "
        "often comes of a prior or of labels that are not those of the data.",
    )
    return Table("rates", "Silence and rate of speech", columns, rows, notes)
