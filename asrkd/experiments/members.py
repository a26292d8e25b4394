"""How many members it takes: the ensemble's accuracy and WER and its student's by the number of members, how much
members disagree, and how far confidences can be believed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkd.config import Config
from asrkd.experiments.frames import SPLITS, labelled, measure_models
from asrkd.experiments.measures import BINS, SUMS, Measures, disagreement_sums, frame_sums, measures
from asrkd.experiments.result import Options, Result, run_experiment, shortened
from asrkd.experiments.words import search_inputs, word_error_rates
from asrkd.parallel import parallel
from asrkd.report.figures import Lines, Series
from asrkd.report.table import Table
from asrkd.systems import System, member_names
from asrkd.train.device import one_net_at_a_time
from asrkd.train.folds import target_groups
from asrkd.train.jobs import train_models
from asrkd.train.soft_targets import write_targets
from asrkd.train.students import expect_soft_targets, student_config
from asrkd.train.training import TargetKind, Training

NAME = "members"
COUNTS = (1, 2, 3, 5, 10)
KINDS = ("ensemble", "student")


def vary_members(exp: Path, config: Config, options: Options) -> None:
    """The first 1, 2, 3, 5, 10 of the members that EXP has, and a student of each, on the ensemble's own targets; words
    too where stage 8 has made a graph."""
    expect_soft_targets(config, f"experiment {NAME}")
    config = shortened(config, options, students_alone=True)
    most = config.ensemble.members
    counts = [1] if options.quick else [count for count in COUNTS if count < most]
    counts = sorted({*counts, most})
    place, inputs = options.place(NAME), search_inputs(exp)

    def work() -> Result:
        students = _students(exp, config, counts, place, options.force)
        jobs = [(exp, config, counts, split) for split in SPLITS]
        passes = parallel(_ensembles, jobs, one_net_at_a_time(config.run), what="ensembles", unit="splits")
        ensembles = {split: found for split, (found, _) in zip(SPLITS, passes, strict=True)}
        apart = {split: found for split, (_, found) in zip(SPLITS, passes, strict=True) if found}
        taught = measure_models(exp, config, students)
        systems = {
            "baseline, member 1": {split: ensembles[split][counts.index(1)] for split in SPLITS},
            f"ensemble of {most}": {split: ensembles[split][-1] for split in SPLITS},
            f"student of {most}": {split: taught[students[-1], split] for split in SPLITS},
        }
        by_count: list[dict[str, Any]] = [
            {
                "members": count,
                **{f"ensemble_{split}": asdict(ensembles[split][number]) for split in SPLITS},
                **{f"student_{split}": asdict(taught[students[number], split]) for split in SPLITS},
            }
            for number, count in enumerate(counts)
        ]
        if inputs:
            decoded = _systems(config, counts, place)
            rates = word_error_rates(exp, config, decoded, inputs, f"experiment {NAME}", options.force)
            for row, kind, split in product(by_count, KINDS, SPLITS):
                row[f"{kind}_{split}"]["wer"] = rates[_name(place, kind, row["members"]), split]
        rows = by_count + [{"split": split, **found} for split, found in apart.items()]
        tables = [_counts_table(by_count), _calibration_table(systems)]
        if apart:
            tables.insert(1, _disagreement_table(apart, most))
        return Result(rows, tables, [_curve(by_count), _reliability(systems)])

    sections = ["decode"] if inputs else []
    targets = [_targets(place, count) for count in counts]
    run_experiment(exp, config, NAME, options, work, inputs=inputs, sections=sections, targets=targets)


def _name(place: str, kind: str, count: int) -> str:
    """Of a system of `count` members, and of a student's folder under EXP/models."""
    return f"{place}/{kind}-of-{count}"


def _systems(config: Config, counts: Sequence[int], place: str) -> list[System]:
    """The ensembles and their students, as they are decoded."""
    members = member_names(config)
    models = {
        (kind, count): members[:count] if kind == "ensemble" else [_name(place, kind, count)]
        for kind, count in product(KINDS, counts)
    }
    return [System(_name(place, kind, count), kind, own, f"{kind} of {count}") for (kind, count), own in models.items()]


def _targets(place: str, count: int) -> str:
    return f"targets/{place}/of-{count}"


def _students(exp: Path, config: Config, counts: Sequence[int], place: str, force: bool) -> list[str]:
    temperature, made_by = config.distill.temperatures[0], f"experiment {NAME}"
    groups = target_groups(exp, replace(config, distill=replace(config.distill, folds=0)))
    kinds = [TargetKind(_targets(place, n), temperature, config.distill.top_k, teachers=n) for n in counts]
    write_targets(exp, config, kinds, groups, made_by, force)
    trainings = [
        Training(
            _name(place, "student", count),
            config.distill.seed,
            config.distill.hard_weight,
            temperature,
            targets=_targets(place, count),
        )
        for count in counts
    ]
    train_models(exp, student_config(config), trainings, made_by, force)
    return [training.name for training in trainings]


def _ensembles(exp: Path, config: Config, counts: Sequence[int], split: str) -> tuple[list[Measures], dict[str, float]]:
    """Of the first members by count, and how much all of them disagree; nothing for a single one."""
    sums = torch.zeros(len(counts), SUMS, dtype=torch.float64)
    apart: Tensor = torch.zeros(3, dtype=torch.float64)
    for probs, labels in labelled(exp, config, member_names(config), split):
        for place, count in enumerate(counts):
            sums[place] += frame_sums(probs[:count].mean(0), labels)
        if len(probs) > 1:
            apart += disagreement_sums(probs)
    frames, kl, differ = apart.tolist()
    found = {"mean_pairwise_kl": kl / frames, "other_pdf_percent": 100 * differ / frames} if frames else {}
    return [measures(own) for own in sums], found


def _counts_table(rows: Sequence[dict[str, Any]]) -> Table:
    columns = ["Members"]
    columns += [f"{kind.title()} {split}" for kind in KINDS for split in SPLITS]
    columns += ["Cross-entropy ensemble test", "student test"]
    cells = [
        [str(row["members"])]
        + [f"{row[f'{kind}_{split}']['accuracy']:.2f}" for kind in KINDS for split in SPLITS]
        + [f"{row[f'{kind}_test']['cross_entropy']:.3f}" for kind in KINDS]
        for row in rows
    ]
    notes = [
        "Frame accuracy in percent, cross-entropy in nats a frame. The first so many members, and a student of one "
        "seed on their own targets. It is trained as distill of the config says, the members as train: what it has "
        "above them is that training's as well."
    ]
    if "wer" in rows[0]["ensemble_test"]:
        columns += ["WER ensemble test", "student test"]
        cells = [
            own + [f"{row[f'{kind}_test']['wer']:.1f}" for kind in KINDS] for row, own in zip(rows, cells, strict=True)
        ]
        notes.append(
            "WER in percent, decoded as in stage 9: one graph, beam and prior for all; the scales of each system are "
            "those of its lowest WER on dev."
        )
    else:
        notes.append("No WER: there was no decoding graph; run stage 8, and then this experiment again.")
    return Table("by-members", "Accuracy by the number of members", columns, cells, notes)


def _disagreement_table(apart: dict[str, dict[str, float]], members: int) -> Table:
    cells = [
        [split, f"{found['mean_pairwise_kl']:.3f}", f"{found['other_pdf_percent']:.1f}"]
        for split, found in apart.items()
    ]
    columns = ["Set", "Mean pairwise KL, nats", "Another most probable pdf, % of the frames"]
    notes = [f"The mean over all pairs of the {members} members, KL in both directions; over the labelled frames."]
    return Table("disagreement", "How much the members disagree", columns, cells, notes)


def _calibration_table(systems: dict[str, dict[str, Measures]]) -> Table:
    columns = ["", *(f"{what} {split}" for split in SPLITS for what in ("Confidence", "Accuracy", "Calibration error"))]
    cells = [
        [name]
        + [
            f"{value:.1f}"
            for split in SPLITS
            for value in (found[split].confidence, found[split].accuracy, found[split].calibration_error)
        ]
        for name, found in systems.items()
    ]
    notes = [
        "Percent. Confidence is the mean probability of the most probable pdf. The calibration error is the expected "
        f"one (Guo et al. 2017): the mean gap between confidence and accuracy over {BINS} bins of confidence, weighted "
        "by their frames."
    ]
    return Table("calibration", "How far confidences can be believed", columns, cells, notes)


def _curve(rows: Sequence[dict[str, Any]]) -> Lines:
    counts = [row["members"] for row in rows]
    series = [
        Series(who, who, counts, [row[f"{who}_dev"]["accuracy"] for row in rows]) for who in ("ensemble", "student")
    ]
    return Lines("Accuracy by the number of members", "members", "frame accuracy on dev, %", series)


def _reliability(systems: dict[str, dict[str, Measures]]) -> Lines:
    series = [
        Series(name, role, [c for _, c, _ in found["dev"].bins], [accuracy for *_, accuracy in found["dev"].bins])
        for (name, found), role in zip(systems.items(), ("member", "ensemble", "student"), strict=True)
    ]
    return Lines("Reliability on dev", "confidence, %", "frame accuracy, %", series, diagonal=True)
