"""The tables of the speech recipes: the paper's Tables 1 and 5 beside ours, the shares, the comparisons."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asrkd.config import Config
from asrkd.report import paper
from asrkd.report.cells import (
    NONE,
    interval_text,
    number_text,
    percent_text,
    probability_text,
    range_text,
    share_text,
    signed_text,
    spread_text,
)
from asrkd.report.scores import Comparison, Score, Scores
from asrkd.report.shares import Share, share_kept, spread
from asrkd.report.table import Table
from asrkd.score.summary import Interval

# Also of the experiments that set such nets side by side.
HARD_AND_SOFT = (
    "Hard targets are learnt as the members learn, soft ones as the students do (train and distill of the config), and "
    "so they differ in more than the targets where those do."
)


def kept_epoch(config: Config) -> str:
    """Which epoch of a net was measured."""
    return "the last epoch" if config.train.keep == "last" else "the epoch that is best on dev"


def whole_data(scores: Scores) -> Table:
    """The paper's Table 1: baseline, ensemble and student, trained on all of the data."""
    columns = ["", "Frame accuracy dev", "Frame accuracy test", "paper", "Cross-entropy dev", "Cross-entropy test"]
    columns += ["WER test", "95 % interval", "paper", "Sub.", "Del.", "Ins."]
    ensemble, members, runs = scores.ensemble, len(scores.members), len(scores.runs)
    rows = [
        _row(f"baseline (mean of {members})", scores.members, scores.baseline_interval, paper.BASELINE),
        _row(ensemble.system.label, [ensemble], ensemble.test.interval, paper.ENSEMBLE),
        _row(student_label(scores), scores.runs, scores.runs_interval, paper.STUDENT),
    ]
    rows += [_row(student.system.label, [student], student.test.interval, None) for student in scores.students[1:]]
    notes = [
        "Frame accuracy and WER in percent, cross-entropy in nats a frame; substitutions, deletions and insertions of "
        f"{ensemble.test.words:,} words.",
        "The baseline is one member of the ensemble"
        + (f": mean ± standard deviation over {members} runs that differ in their seed alone." if members > 1 else "."),
        "Intervals: bootstrap over the test utterances; the baseline's is that of the members' mean.",
    ]
    notes += _why_none([ensemble.test.interval])
    if runs > 1:
        notes.append(
            f"The first student too is the mean ± standard deviation over {runs} runs that differ in their seed alone, "
            "with the interval of their mean. Where one student is compared, taken apart or heard, it is the first run."
        )
    return Table("whole-data", "Ensemble and student (the paper's Table 1)", columns, rows, notes)


def limited_data(scores: Scores, config: Config) -> Table:
    """The paper's Table 5: hard against soft targets on a small share of the training utterances.

    config: what the nets were trained with, and who gave the soft targets.
    """
    columns = ["Trained on", "Targets", "Train frame accuracy", "paper", "Test frame accuracy", "paper"]
    columns += ["Cross-entropy test", "WER test", "95 % interval"]
    rows = [
        [
            "all",
            "hard",
            spread_text(spread([m.train_accuracy for m in scores.members]), 1),
            f"{paper.ALL_HARD.train_accuracy:.1f}",
            spread_text(spread([m.test.frame_accuracy for m in scores.members]), 1),
            f"{paper.ALL_HARD.test_accuracy:.1f}",
            spread_text(spread([m.test.cross_entropy for m in scores.members]), 2),
            spread_text(spread([m.test.wer for m in scores.members]), 1),
            interval_text(scores.baseline_interval),
        ]
    ]
    for share, pair in scores.limited.items():
        for kind, score, theirs in zip(("hard", "soft"), pair, (paper.HARD, paper.SOFT), strict=True):
            known = share == paper.LIMITED_SHARE
            rows.append(
                [
                    f"{100 * share:g} %",
                    kind,
                    f"{score.train_accuracy:.1f}",
                    f"{theirs.train_accuracy:.1f}" if known else NONE,
                    f"{score.test.frame_accuracy:.1f}",
                    f"{theirs.test_accuracy:.1f}" if known else NONE,
                    f"{score.test.cross_entropy:.2f}",
                    f"{score.test.wer:.1f}",
                    interval_text(score.test.interval),
                ]
            )
    who = "the ensemble, which has seen all of the data, as in the paper."
    if folds := config.distill.folds:
        who = f"teachers that never heard the speaker, of {folds} folds; the paper's ensemble had seen all of the data."
    notes = [
        "Train frame accuracy is on frames that the model was trained on: a sample of them where it had all of the "
        f"data. Every model is measured at {kept_epoch(config)}. The soft targets come from {who}",
        HARD_AND_SOFT,
        *_why_none([scores.ensemble.test.interval]),
    ]
    return Table("limited-data", "Soft targets as regularisers (the paper's Table 5)", columns, rows, notes, texts=2)


@dataclass(frozen=True)
class ShareRow:
    """One share on dev and on test, by frame accuracy and by cross-entropy."""

    name: str
    split: str
    accuracy: Share
    cross_entropy: Share
    paper: float | None  # percent, of frame accuracy on test
    runs: list[tuple[Share, Share]]  # accuracy and cross-entropy of each, where they are of the mean of several


def share_rows(scores: Scores) -> list[ShareRow]:
    """The shares that do not depend on the corpus (see asrkd.report.shares)."""
    members = scores.members
    rows = []
    students = [(student_label(scores), scores.runs)]
    students += [(student.system.label, [student]) for student in scores.students[1:]]
    for place, (label, runs) in enumerate(students):
        theirs = share_kept(
            paper.BASELINE.frame_accuracy, paper.STUDENT.frame_accuracy, paper.ENSEMBLE.frame_accuracy, None
        )
        name = f"ensemble's gain kept by {label}"
        rows += _both_splits(name, members, None, runs, scores.ensemble, theirs.percent if place == 0 else None)
    for share, (hard, soft) in scores.limited.items():
        theirs = share_kept(paper.HARD.test_accuracy, paper.SOFT.test_accuracy, paper.ALL_HARD.test_accuracy, None)
        name = f"gap closed by soft targets on {100 * share:g} %"
        known = share == paper.LIMITED_SHARE
        rows += _both_splits(name, members, hard, [soft], None, theirs.percent if known else None)
    return rows


def shares(rows: Sequence[ShareRow]) -> Table:
    columns = ["Share", "Set", "Frame accuracy", "Cross-entropy", "paper"]
    cells = [
        [r.name, r.split, share_text(r.accuracy), share_text(r.cross_entropy), number_text(r.paper, 0, " %")]
        for r in rows
    ]
    said = ["The ensemble's gain is over the mean baseline."]
    if any("gap" in row.name for row in rows):
        said.append(
            "The gap lies between hard targets on a share of the data and the mean baseline, which has them on all of "
            "it."
        )
    if any(share.spread is not None for row in rows for share in (row.accuracy, row.cross_entropy)):
        said.append("± is what one standard deviation of a training run (over the members) moves the share by.")
    notes = [" ".join(said)]
    for row in rows:
        if row.runs:
            accuracy, cross_entropy = (
                ", ".join(percent_text(share) for share in own) for own in zip(*row.runs, strict=True)
            )
            notes.append(
                f"Run by run, {row.name}, {row.split}: frame accuracy {accuracy}; cross-entropy {cross_entropy}."
            )
        for measure, share in (("frame accuracy", row.accuracy), ("cross-entropy", row.cross_entropy)):
            if share.percent is None:
                notes.append(f"{NONE} {row.name}, {row.split}, {measure}: {share.why}.")
    return Table("shares", "What the corpus does not change", columns, cells, notes, texts=2)


def comparisons(rows: Sequence[Comparison], speakers: int) -> Table:
    """`speakers`: how many there are in test."""
    columns = ["", "Against", "WER difference", "95 % interval", "by speaker", "Fewer errors in", "p"]
    cells = [
        [
            r.system,
            r.baseline,
            f"{r.difference:+.2f}",
            signed_text(r.interval),
            signed_text(r.interval_by_speaker),
            NONE if r.better is None else f"{r.better:.0f} %",
            probability_text(r.p),
        ]
        for r in rows
    ]
    segments = sorted({r.segments for r in rows}) or [0]
    notes = [
        "Points of WER on test, below zero where the first system is better: a paired bootstrap over the test "
        "utterances. “Fewer errors in” is the share of the resamples in which the first system makes fewer errors.",
        "p is how often systems that do not differ would be as far apart: the matched pairs test of Gillick and Cox "
        f"(NIST's MAPSSWE, two-sided), on {range_text(segments)} segments, which end where all systems compared have "
        "two words in a row right. It is of these speakers too, and means little on fewer than 50 segments.",
        f"Test has {speakers} speaker{'' if speakers == 1 else 's'}. “By speaker”, speakers are resampled, each with "
        "all of its utterances, for what others would give; where there are fewer than some dozens, others would move "
        "the differences by more than either interval says. Member 1 is one training run, with the luck of its seed.",
        *_why_none([r.interval for r in rows]),
    ]
    return Table("comparisons", "Is it more than chance?", columns, cells, notes, texts=2)


def members(scores: Scores) -> Table:
    return _one_by_one("members", "The members of the ensemble, one by one", scores.members)


def runs(scores: Scores) -> Table:
    """Of the student."""
    return _one_by_one("runs", "The runs of the student, one by one", scores.runs)


def _one_by_one(name: str, title: str, scores: Sequence[Score]) -> Table:
    columns = [
        "",
        "Train frame accuracy",
        "Dev frame accuracy",
        "Test frame accuracy",
        "Cross-entropy dev",
        "Cross-entropy test",
    ]
    columns += ["WER test", "95 % interval"]
    rows = [
        [
            score.system.label,
            f"{score.train_accuracy:.1f}",
            f"{score.dev.frame_accuracy:.1f}",
            f"{score.test.frame_accuracy:.1f}",
            f"{score.dev.cross_entropy:.2f}",
            f"{score.test.cross_entropy:.2f}",
            f"{score.test.wer:.1f}",
            interval_text(score.test.interval),
        ]
        for score in scores
    ]
    return Table(name, title, columns, rows, _why_none([score.test.interval for score in scores]))


def student_label(scores: Scores) -> str:
    """Of the row of the student, which is the mean of its runs."""
    label, runs = scores.runs[0].system.label, len(scores.runs)
    return label if runs == 1 else f"{label} (mean of {runs})"


def _both_splits(
    name: str,
    members: Sequence[Score],
    lower: Score | None,
    runs: Sequence[Score],
    upper: Score | None,
    theirs: float | None,
) -> list[ShareRow]:
    """Of the mean of the runs. Where `lower` or `upper` is None the mean member stands."""

    def place(runs: Sequence[Score], split: str, measure: str, higher_is_better: bool) -> Share:
        def of(score: Score) -> float:
            return float(getattr(getattr(score, split), measure))

        baseline = spread([of(member) for member in members])
        ends = of(lower) if lower else baseline.mean, of(upper) if upper else baseline.mean
        value = spread([of(run) for run in runs]).mean
        return share_kept(ends[0], value, ends[1], baseline.sd, higher_is_better=higher_is_better)

    def both(runs: Sequence[Score], split: str) -> tuple[Share, Share]:
        return place(runs, split, "frame_accuracy", True), place(runs, split, "cross_entropy", False)

    return [
        ShareRow(
            name,
            split,
            *both(runs, split),
            theirs if split == "test" else None,
            [both([run], split) for run in runs] if len(runs) > 1 else [],
        )
        for split in ("dev", "test")
    ]


def _row(label: str, runs: Sequence[Score], interval: Interval | None, theirs: paper.WholeData | None) -> list[str]:
    """The mean of runs that differ in their seed, with its spread; of a single one, that one."""

    def mean(measure: Callable[[Score], float], digits: int) -> str:
        return spread_text(spread([measure(run) for run in runs]), digits)

    return [
        label,
        mean(lambda run: run.dev.frame_accuracy, 1),
        mean(lambda run: run.test.frame_accuracy, 1),
        number_text(theirs.frame_accuracy if theirs else None, 1),
        mean(lambda run: run.dev.cross_entropy, 2),
        mean(lambda run: run.test.cross_entropy, 2),
        mean(lambda run: run.test.wer, 1),
        interval_text(interval),
        number_text(theirs.wer if theirs else None, 1),
        *(f"{spread([counts[kind] for counts in map(_errors, runs)]).mean:.0f}" for kind in range(3)),
    ]


def _errors(score: Score) -> tuple[int, int, int]:
    return score.test.substitutions, score.test.deletions, score.test.insertions


def _why_none(intervals: Sequence[Interval | None]) -> list[str]:
    """The note of a table where they are missing."""
    return ["Test has one utterance, and an interval needs two at least."] if None in intervals else []
