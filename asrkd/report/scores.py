"""What stage 10's first half measured, read back from EXP/scores and arranged as the tables need it."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.score.bootstrap import interval
from asrkd.score.summary import Interval
from asrkd.score.wer import read_word_errors
from asrkd.systems import System, limited_name, member_names, student_name, systems


@dataclass(frozen=True)
class SetScore:
    """One system on dev or test."""

    frame_accuracy: float  # percent
    cross_entropy: float  # nats a frame
    wer: float  # percent
    interval: Interval | None  # of the WER, 95 %, utterances drawn; None where there is one
    interval_by_speaker: Interval | None  # of the same, speakers drawn; None where there is one
    words: int
    substitutions: int
    deletions: int
    insertions: int


@dataclass(frozen=True)
class Score:
    system: System
    parameters: int
    train_accuracy: float  # percent, on the frames that it was trained on
    dev: SetScore
    test: SetScore


@dataclass(frozen=True)
class Scores:
    """Every system of the config."""

    members: list[Score]
    baseline_interval: Interval | None  # of the members' mean WER on test, 95 %
    ensemble: Score
    students: list[Score]  # the config's order of temperatures; the first is the one that is called the student
    runs: list[Score]  # of the first temperature, which differ in their seed; the first is the first of `students`
    runs_interval: Interval | None  # of their mean WER on test, 95 %
    limited: dict[float, tuple[Score, Score]]  # share of the training utterances -> hard targets, soft targets

    def all(self) -> list[Score]:
        pairs = [score for pair in self.limited.values() for score in pair]
        return [*self.members, self.ensemble, *self.all_students(), *pairs]

    def all_students(self) -> list[Score]:
        """Those of `students` and the further runs of the first."""
        return [*self.runs, *self.students[1:]]


@dataclass(frozen=True)
class Comparison:
    """Two systems' WER on test, by a paired bootstrap and the matched pairs test."""

    system: str  # label
    baseline: str  # label
    difference: float  # system - baseline, points of WER
    interval: Interval | None  # of the difference, 95 %, utterances drawn; None where there is one
    interval_by_speaker: Interval | None  # of the same, speakers drawn; None where there is one
    better: float | None  # percent of the draws of utterances in which the system makes fewer errors; None likewise
    segments: int  # of the matched pairs test
    p: float | None  # its two-sided p; None where it has nothing to go by


def read_scores(exp: Path, config: Config) -> Scores:
    """Raises UserError when a system of the config has no scores or a file of them lacks a value."""
    found = {system.name: _read_score(exp, system) for system in systems(config)}
    pairs = {
        share: (found[limited_name("hard", share)], found[limited_name("soft", share)])
        for share in config.limited.shares
    }
    members = member_names(config)
    students = [found[student_name(temperature)] for temperature in config.distill.temperatures]
    first = config.distill.temperatures[0]
    runs = [student_name(first, run) for run in range(1, config.distill.students + 1)]
    return Scores(
        [found[name] for name in members],
        _mean_interval(exp, members),
        found["ensemble"],
        students,
        [found[name] for name in runs],
        _mean_interval(exp, runs) if len(runs) > 1 else students[0].test.interval,
        pairs,
    )


def read_comparisons(exp: Path, without: Collection[str] = ()) -> list[Comparison]:
    """Those of the systems that are not in `without`. Raises UserError when stage 10 has not compared the systems."""
    path = exp / "scores" / "comparisons.json"
    rows = read_json(path)
    with _expecting(path):
        return [
            Comparison(
                row["system_label"],
                row["baseline_label"],
                100 * row["difference"],
                _percents(row["interval"]),
                _percents(row["interval_by_speaker"]),
                None if row["better"] is None else 100 * row["better"],
                row["segments"],
                row["p"],
            )
            for row in rows
            if row["system"] not in without
        ]


def _read_score(exp: Path, system: System) -> Score:
    path = exp / "scores" / f"{system.name}.json"
    if not path.is_file():
        raise UserError(f"{path}: no scores of {system.label}; stage 10 makes them (run.sh --stage 10)")
    value = read_json(path)
    with _expecting(path):
        train = 100 * value["train"]["frame_accuracy"]
        return Score(system, value["parameters"], train, _set_score(value["dev"]), _set_score(value["test"]))


def _set_score(value: dict[str, Any]) -> SetScore:
    return SetScore(
        frame_accuracy=100 * value["frame_accuracy"],
        cross_entropy=value["cross_entropy"],
        wer=100 * value["wer"],
        interval=_percents(value["interval"]),
        interval_by_speaker=_percents(value["interval_by_speaker"]),
        words=value["words"],
        substitutions=value["substitutions"],
        deletions=value["deletions"],
        insertions=value["insertions"],
    )


def _percents(shares: Sequence[float] | None) -> Interval | None:
    if shares is None:
        return None
    low, high = shares
    return 100 * low, 100 * high


def _mean_interval(exp: Path, runs: list[str]) -> Interval | None:
    """Of the mean WER of the runs: an utterance's errors are the mean of theirs."""
    counts = [read_word_errors(exp / "counts" / name / "words-test.jsonl") for name in runs]
    errors = np.mean([count.errors for count in counts], axis=0)  # (U,)
    return _percents(interval(errors, counts[0].words))


@contextmanager
def _expecting(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: expected the scores of stage 10, found {error!r}; run.sh --stage 10 --force"
        ) from None
