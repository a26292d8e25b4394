"""Audio without transcripts: a student that learns from soft targets alone, on a corpus that is half transcribed.

Teachers and baseline are trained on the transcribed half of the speakers. The student hears both halves and no label.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrkd.config import Config
from asrkd.corpus.subsets import speaker_folds
from asrkd.errors import UserError
from asrkd.experiments.frames import SPLITS, measure_models
from asrkd.experiments.result import Options, Result, run_experiment, shortened
from asrkd.features.store import FrameStore
from asrkd.report.cells import NONE, share_text
from asrkd.report.shares import NOISE, share_kept, spread
from asrkd.report.table import Table
from asrkd.report.tables import kept_epoch
from asrkd.systems import member_names
from asrkd.train.folds import Group
from asrkd.train.jobs import train_models
from asrkd.train.soft_targets import write_targets
from asrkd.train.students import student_config
from asrkd.train.training import TargetKind, Training

NAME = "untranscribed"
STUDENTS = {"student-half": "student, the transcribed half", "student-all": "student, both halves"}


def withhold_transcripts(exp: Path, config: Config, options: Options) -> None:
    """Baselines on the transcribed half and on all; their ensembles' students on soft targets alone, which hear the
    transcribed half or both. Raises UserError where train has one speaker."""
    config = shortened(config, options)
    if options.quick:
        config = replace(config, ensemble=replace(config.ensemble, members=min(2, config.ensemble.members)))

    place = options.place(NAME)
    targets = f"targets/{place}"

    def work() -> Result:
        store = FrameStore.open(exp / "features" / "train")
        half = transcribed_half(store, config.ensemble.seed)
        teachers = _teachers(exp, config, half, place, options.force)
        temperature = config.distill.temperatures[0]
        groups = [Group(teachers, store.ids, f"experiment {NAME}")]
        kind = TargetKind(targets, temperature, config.distill.top_k)
        write_targets(exp, config, [kind], groups, f"experiment {NAME}", options.force)
        half_student, all_student = (
            Training(f"{place}/{name}", config.distill.seed, hard_weight=0.0, temperature=temperature, targets=targets)
            for name in STUDENTS
        )
        students = [replace(half_student, utterances=half, about=_about(half, config)), all_student]
        train_models(exp, student_config(config), students, f"experiment {NAME}", options.force)
        rows = _rows(exp, config, teachers, place)
        return Result(rows, [_table(rows, len(half), len(store), config, options.epochs)])

    run_experiment(exp, config, NAME, options, work, targets=[targets])


def transcribed_half(store: FrameStore, seed: int) -> tuple[str, ...]:
    """The utterances of one half of the speakers. Raises UserError where there is one speaker."""
    if (found := len(set(store.speakers))) < 2:
        raise UserError(
            f"{store.folder}: expected speakers for two halves of the corpus, found {found}; experiment {NAME} needs a "
            "corpus of several"
        )
    half_of = speaker_folds(store.speakers, store.counts, 2, seed)
    return tuple(name for name, half in zip(store.ids, half_of.tolist(), strict=True) if half == 0)


def _teachers(exp: Path, config: Config, half: tuple[str, ...], place: str, force: bool) -> list[str]:
    names = [f"{place}/{name}" for name in member_names(config)]
    trainings = [
        Training(name, config.ensemble.seed + number, utterances=half, about=_about(half, config))
        for number, name in enumerate(names)
    ]
    train_models(exp, config, trainings, f"experiment {NAME}", force)
    return names


def _about(half: tuple[str, ...], config: Config) -> dict[str, int]:
    return {"utterances": len(half), "half_seed": config.ensemble.seed}


def _rows(exp: Path, config: Config, teachers: Sequence[str], place: str) -> list[dict[str, Any]]:
    members, students = member_names(config), {f"{place}/{name}": label for name, label in STUDENTS.items()}
    found = measure_models(exp, config, [*teachers, *students, *members])

    def row(label: str, names: Sequence[str], measure: str) -> dict[str, Any]:
        """The mean over models and, of several, the standard deviation of one."""
        spreads = {split: spread([getattr(found[name, split], measure) for name in names]) for split in SPLITS}
        means = {f"{split}_{measure}": own.mean for split, own in spreads.items()}
        return {"system": label} | means | {f"{split}_{measure}_sd": own.sd for split, own in spreads.items()}

    systems = {"baseline, the transcribed half": teachers, **{label: [name] for name, label in students.items()}}
    systems["baseline, all transcribed"] = members
    return [row(label, names, "accuracy") | row(label, names, "cross_entropy") for label, names in systems.items()]


def _table(rows: Sequence[dict[str, Any]], half: int, utterances: int, config: Config, epochs: int | None) -> Table:
    columns = ["", "Frame accuracy dev", "test", "Cross-entropy dev", "test", "Gap closed, test"]
    teachers = config.ensemble.members
    first, *students, last = rows
    closed = [
        share_text(
            share_kept(first["test_accuracy"], row["test_accuracy"], last["test_accuracy"], first["test_accuracy_sd"])
        )
        for row in students
    ]
    cells = [
        [row["system"]]
        + [f"{row[f'{split}_accuracy']:.2f}" for split in SPLITS]
        + [f"{row[f'{split}_cross_entropy']:.3f}" for split in SPLITS]
        + [share]
        for row, share in zip(rows, [NONE, *closed, NONE], strict=True)
    ]
    notes = [
        f"The transcribed half has {half} of {utterances} utterances, all those of its speakers. Baselines: the mean "
        f"of {teachers} nets on labels. Students: the targets of the half's {teachers} nets, and no label. The gap is "
        "that between the two baselines; ± is what one standard deviation of a net on the half moves the share by, and "
        f"there is no share where the gap is within {NOISE:g} of them.",
        "Students are trained as distill of the config says, baselines as train: what the untranscribed half brings is "
        "the second student less the first.",
        "The tied states are those of stage 3, which aligned all of train; the labels of the other half teach no net "
        f"but the last baseline. Each is measured at {kept_epoch(config)}.",
    ]
    if epochs:
        notes.append(f"All nets but those of the last baseline were trained for {epochs} epochs.")
    return Table(NAME, "Without transcripts for half of the corpus", columns, cells, notes)
