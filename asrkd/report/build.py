"""The work of the report: its files, from the scores and from what the stages say of themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lhotse import CutSet

from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.experiment import Step
from asrkd.files import read_jsonl, write_json, write_text
from asrkd.report import details, experiments, facts, paper, tables
from asrkd.report.audio import sounds
from asrkd.report.cells import share_text
from asrkd.report.figures import HeatMap, Lines
from asrkd.report.page import Fact, figures, page
from asrkd.report.plots import Curve, squares
from asrkd.report.scores import Scores, read_comparisons
from asrkd.report.shares import spread
from asrkd.report.specialists import FOLDER, specialists_tables
from asrkd.report.table import Table, markdown
from asrkd.report.utterances import Example, examples
from asrkd.train.students import student_config

TITLE = "Distilling an ensemble of acoustic models"
OUTPUTS = ("RESULTS.md", "results.json", "index.html")


def build(
    step: Step,
    exp: Path,
    config: Config,
    scores: Scores,
    stamps: Mapping[str, Any],
    chosen: Mapping[str, Any],
) -> None:
    """Write the files of a step that has begun, and finish the step. chosen: what of the config is shown."""
    comparisons = read_comparisons(exp, without=[run.system.name for run in scores.runs[1:]])
    shares = tables.share_rows(scores)
    reports = facts.stage_reports(exp)
    scales = facts.decoding(exp, scores)
    times = {stage: facts.seconds(found) for stage, found in stamps.items()}
    run = {"machine": facts.machine(), "seeds": seeds(config), "versions": facts.versions(stamps)}
    curves = read_curves(exp, scores)
    student = scores.students[0]
    found, rates = details.read_details(exp, student.system.name), details.read_rates(exp, scores)

    test_speakers = reports["data"]["test"]["speakers"]
    results = [tables.whole_data(scores), tables.shares(shares), tables.comparisons(comparisons, test_speakers)]
    if scores.limited:
        results.insert(1, tables.limited_data(scores, config))
    results.append(tables.members(scores))
    if len(scores.runs) > 1:
        results.append(tables.runs(scores))
    if (passes := facts.passes_table(scores, scales)) is not None:
        results.append(passes)
    results += [details.speakers_table(student, found), details.confusions_table(student, found)]
    results.append(details.phones_table(student, found))
    if str(FOLDER) in step.inputs:
        results += specialists_tables(exp)
    files = [name for name in step.inputs if name.startswith(experiments.FOLDER)]
    tried = experiments.read_experiments(exp, files, config)
    results += [table for experiment in tried for table in experiment.tables]
    about = [facts.decoding_table(scores, scales), details.rates_table(scores, rates)]
    about += [table for folder, report in reports.items() for table in facts.report_tables(folder, report)]
    about += [facts.times_table(times), facts.machine_table(run)]
    drawn: list[Lines | HeatMap] = []
    for experiment in tried:
        drawn += [*experiment.lines, *experiment.heat_maps]
    if (by_share := experiments.share_curves(scores)) is not None:
        drawn.insert(0, by_share)
    config_text = yaml.safe_dump(chosen, sort_keys=False)

    write_text(step.folder / "RESULTS.md", results_markdown([*results, *about], lead(scores, config), config_text))
    write_json(
        step.folder / "results.json",
        {
            "systems": {score.system.name: asdict(score) for score in scores.all()},
            "shares": [asdict(row) for row in shares],
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "student": details.details_json(found),
            "rates": {name: asdict(own) for name, own in rates.items()},
            "stages": reports,
            "decoding": scales,
            "seconds": times,
            "experiments": {experiment.name: experiment.rows for experiment in tried},
            **run,
            "curves": {curve.label: asdict(curve) for curve in curves},
            "config": chosen,
        },
    )
    cuts = read_cuts(exp / "data" / "test.jsonl.gz")
    shown = heard(exp, cuts, scores)
    document = page(
        title=TITLE,
        lead=lead(scores, config),
        headline=headline(scores, shares),
        figures=[*figures(scores, curves), phone_figure(student.system.label, found), *experiments.draw(drawn)],
        tables=results,
        examples=shown,
        sounds=sounds(cuts, [example.utterance for example in shown], config.features.sample_rate),
        run_tables=about,
        config=config_text,
    )
    write_text(step.folder / "index.html", document)
    step.finish(OUTPUTS)
    for row in results[0].rows:
        system, dev, test, wer = row[0], row[1], row[2], row[6]
        print(f"{system}: frame accuracy {dev} % on dev, {test} % on test, WER {wer} %", flush=True)
    print(f"{step.folder / 'index.html'}: the report", flush=True)


def results_markdown(all_tables: Sequence[Table], lead: str, config: str) -> str:
    parts = [f"# {TITLE}\n", f"{lead}\n", *(markdown(table) for table in all_tables)]
    return "\n".join([*parts, f"## The config\n\n```yaml\n{config}```\n"])


def lead(scores: Scores, config: Config) -> str:
    theirs, own = config.model, student_config(config).model
    alike = (own.hidden_layers, own.hidden_size) == (theirs.hidden_layers, theirs.hidden_size)
    teachers = "teachers that never heard their speaker" if config.distill.folds else "it"
    members = f"{len(scores.members)} acoustic models that differ in their random start, their ensemble"
    if len(scores.members) == 1:
        members = "An acoustic model, which is an ensemble by itself"
    distilled = "one model" if len(scores.students) == 1 else "models"
    return (
        f"{members}, and {distilled} of {'the same' if alike else 'another'} shape distilled from {teachers}, after "
        "section 4 of Hinton, Vinyals and Dean, “Distilling the Knowledge in a Neural Network” (2015). The paper's "
        "figures, of its own corpus, stand beside ours."
    )


def headline(scores: Scores, shares: Sequence[tables.ShareRow]) -> list[Fact]:
    ensemble = scores.ensemble
    accuracy, own_accuracy = (
        spread([run.test.frame_accuracy for run in runs]) for runs in (scores.members, scores.runs)
    )
    wer, own_wer = (spread([run.test.wer for run in runs]) for runs in (scores.members, scores.runs))
    student = "the student" if len(scores.runs) == 1 else f"the student, mean of {len(scores.runs)}"
    found = [
        Fact(
            f"{own_accuracy.mean:.1f} %",
            f"test frame accuracy of {student}; baseline {accuracy.mean:.1f}, "
            f"ensemble {ensemble.test.frame_accuracy:.1f}",
            f"paper: {paper.STUDENT.frame_accuracy}; {paper.BASELINE.frame_accuracy}, {paper.ENSEMBLE.frame_accuracy}",
        ),
        Fact(
            f"{own_wer.mean:.1f} %",
            f"word error rate of {student}; baseline {wer.mean:.1f}, ensemble {ensemble.test.wer:.1f}",
            f"paper: {paper.STUDENT.wer}; {paper.BASELINE.wer}, {paper.ENSEMBLE.wer}",
        ),
    ]
    for row in shares:
        if row.split == "test" and row.paper is not None:
            found.append(Fact(share_text(row.accuracy), row.name, f"paper: {row.paper:.0f} %"))
    return found


def read_curves(exp: Path, scores: Scores) -> list[Curve]:
    """Of every model, from models/<name>/curves.jsonl. Raises UserError when one is missing."""
    curves = []
    groups = {run.system.name: scores.runs[0].system.label for run in scores.runs}
    groups |= {member.system.name: "members" for member in scores.members}
    for score in scores.all():
        system = score.system
        if system.kind == "ensemble":
            continue
        path = exp / "models" / system.name / "curves.jsonl"
        epochs = read_jsonl(path)
        role = system.name.partition("-")[0]  # member, student, hard or soft
        curves.append(
            Curve(
                system.name,
                role,
                groups.get(system.name, system.label),
                [epoch["epoch"] for epoch in epochs],
                [epoch["train_accuracy"] for epoch in epochs],
                [epoch["dev_accuracy"] for epoch in epochs],
            )
        )
    return curves


def phone_figure(label: str, found: details.Details) -> str:
    """Of the phones that have frames on test, as the labels or as the system have it."""
    frames = found.frames
    shown = np.flatnonzero(frames.sum(axis=0) + frames.sum(axis=1))
    shares = frames[np.ix_(shown, shown)] / np.maximum(frames[shown].sum(axis=1, keepdims=True), 1)
    return squares(shares, [found.phones[phone] for phone in shown], f"Phones of the test frames, {label}")


def seeds(config: Config) -> dict[str, str]:
    first, count = config.ensemble.seed, config.ensemble.members
    student, runs = config.distill.seed, config.distill.students
    more = f"; at T = {config.distill.temperatures[0]:g}, {student} to {student + runs - 1}" if runs > 1 else ""
    return {
        "seeds of the members": f"{first} to {first + count - 1}",
        "seed of the students": f"{student}{more}",
        "seed of the limited data": str(config.limited.seed),
    }


def heard(exp: Path, cuts: CutSet, scores: Scores) -> list[Example]:
    """Test utterances beside what the first member, the ensemble and the student made of them."""
    references = {cut.id: cut.supervisions[0].text for cut in cuts}
    shown = {"baseline": scores.members[0], "ensemble": scores.ensemble, "student": scores.students[0]}
    hypotheses = {}
    for label, score in shown.items():
        rows = read_jsonl(exp / "decode" / score.system.name / "test" / "hypotheses.jsonl")
        hypotheses[label] = {row["id"]: row["text"] for row in rows}
    return examples(references, hypotheses)
