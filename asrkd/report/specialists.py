"""The tables of stage 11, where there are specialists: the paper's sections 5 and 6 on our classes, the pdfs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import STAMP, expect_settings, identity
from asrkd.files import read_json
from asrkd.report.cells import NONE
from asrkd.report.table import Table
from asrkd.specialists.prepare import STAGE, specialists_config, stage_config, students
from asrkd.train.students import student_config
from asrkd.train.training import training_settings

FOLDER = Path("specialists", "results")
OWN = ("specialists/", "models/specialist-", "models/student-combined", "models/student-generalist")
KINDS = ("hard", "soft")
SPLITS = ("dev", "test")
STUDENTS = {"student-combined": "student of all", "student-generalist": "student of the generalist"}
SHOWN = 6  # phones of a cluster
PAPER = (25.0, 26.1)  # the paper's table 3, images: percent right by the generalist, and with 61 specialists


def made(exp: Path, config: Config) -> dict[str, str]:
    """What stage 11 made, for the report's stamp; nothing where it was not called, and where what it made is not whole,
    of other models or of other settings than the config's a line says so."""
    if not (exp / FOLDER).is_dir():
        return {}
    try:
        found = {str(FOLDER): identity(exp / FOLDER, STAGE)}
        own = stage_config(config)
        settings = {net.name: training_settings(student_config(own), net) for net in students(own)}
        for folder in steps(exp):
            of_kind = section(specialists_config(own), "train") if folder.name.startswith("specialist-") else {}
            expect_settings(folder, STAGE, config, settings.get(folder.name, of_kind))
        return found
    except UserError as error:
        print(f"the report leaves the specialists out: {error}", flush=True)
        return {}


def steps(exp: Path) -> list[Path]:
    """Stage 11's folders: its results, what of its own they were made from, and so on, but for soft targets that were
    deleted since. What lies there from an earlier config is none of them."""
    found: list[str] = []
    left = [str(FOLDER)]
    while left:
        name = left.pop()
        if name.startswith(OWN) and name not in found and (exp / name / STAMP).is_file():
            found.append(name)
            left += read_json(exp / name / STAMP)["inputs"]
    return [exp / name for name in sorted(found)]


def specialists_tables(exp: Path) -> list[Table]:
    """Raises UserError when the tables of stage 11 are missing or hold something else."""
    path = exp / FOLDER / "tables.json"
    found = read_json(path)
    try:
        return [summary(found), coverage(found), clusters(found)]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the tables of stage 11, found {error!r}; run.sh --stage 11 --force"
        ) from None


def summary(found: Mapping[str, Any]) -> Table:
    """The paper's table 3, and the student of the combination."""
    both = found["combinations"]
    generalist = {split: both["hard"][split]["generalist"] for split in SPLITS}
    rows = [_row(f"generalist ({found['generalist']})", generalist, generalist, both["hard"], "generalist")]
    for kind in KINDS:
        label = f"with {len(found['clusters'])} specialists, {kind} targets"
        own = {split: both[kind][split]["combined"] for split in SPLITS}
        rows.append(_row(label, own, generalist, both[kind], "combined"))
    rows += [_row(label, found["students"][name], generalist) for name, label in STUDENTS.items()]
    columns = ["", "Frame accuracy dev", "Frame accuracy test", "of covered frames dev", "of covered frames test"]
    columns += ["Cross-entropy dev", "Cross-entropy test", "Relative gain dev", "Relative gain test"]
    notes = [
        "Covered frames are those whose pdf is in a specialist's cluster. The paper has, on images, "
        f"{PAPER[0]} and {PAPER[1]} % without and with 61 specialists: {100 * (PAPER[1] / PAPER[0] - 1):+.1f} %.",
        "Specialists begin with the generalist's weights. One set is trained on hard targets alone, the other also on "
        "the generalist's soft ones, which the paper's section 6 has for a regulariser.",
        f"The student of all learnt from the generalist with the specialists of {found['distilled']} targets, "
        f"the better set on dev; the student of the generalist differs from it in its teacher alone. {_kept(found)}",
        "Students are trained as distill of the config says, at speed 1 alone, and the generalist as train says: what "
        "they have above it is that training's as well.",
    ]
    worst = max(both[kind][split]["unfinished"] for kind in KINDS for split in SPLITS)
    notes.append(f"At most {100 * worst:.2f} % of a set's frames ended the descent before its minimum was sure.")
    return Table("specialists", "Specialists (the paper's Table 3)", columns, rows, notes)


def coverage(found: Mapping[str, Any]) -> Table:
    """The paper's table 4, for each set of specialists."""
    from asrkd.specialists.tables import CoverageRow  # it imports torch, which `made` does not need

    columns = ["Set", "Specialists covering the right pdf", "Frames", "Generalist"]
    for kind in KINDS:
        columns += [f"With {kind}", "Relative gain"]
    rows = []
    for split in SPLITS:
        both = [[CoverageRow(**row) for row in found["combinations"][kind][split]["rows"]] for kind in KINDS]
        for hard, soft in zip(*both, strict=True):
            cells = [split, str(hard.specialists), f"{hard.frames:,}", f"{100 * hard.generalist_accuracy:.1f}"]
            for row in (hard, soft):
                gain = NONE if row.relative_gain is None else f"{100 * row.relative_gain:+.1f} %"
                cells += [f"{100 * row.combined_accuracy:.1f}", gain]
            rows.append(cells)
    notes = ["Frame accuracy in percent, and how many more frames are right with the specialists than without."]
    return Table("coverage", "How many specialists cover the right pdf (the paper's Table 4)", columns, rows, notes)


def clusters(found: Mapping[str, Any]) -> Table:
    """As the paper's table 2: what each specialist is for."""
    rows = []
    for number, cluster in enumerate(found["clusters"], 1):
        phones = [f"{name} {count}" if count > 1 else name for name, count in cluster["phones"]]
        more = ", …" if len(phones) > SHOWN else ""
        share = f"{100 * cluster['frames']:.1f} %"
        rows.append([str(number), ", ".join(phones[:SHOWN]) + more, str(len(cluster["pdfs"])), share])
    notes = [
        "Phones and how many of their pdfs the specialist has, the most frequent first: K-means on the columns of the "
        "correlation of the generalist's predictions, then the pdfs whose predictions vary most with a cluster's, so "
        "that specialists may overlap."
    ]
    columns = ["Specialist", "Phones", "Pdfs", "Share of train's frames"]
    return Table("clusters", "What the specialists are for (the paper's Table 2)", columns, rows, notes, texts=2)


def _row(
    label: str,
    own: Mapping[str, Mapping[str, float]],
    generalist: Mapping[str, Mapping[str, float]],
    combination: Mapping[str, Any] | None = None,
    who: str = "",
) -> list[str]:
    """who: generalist or combined, whose frames are counted in the combination's rows; a student's are in none."""
    accuracy = [f"{100 * own[split]['accuracy']:.2f}" for split in SPLITS]
    covered = [NONE if combination is None else _covered(combination[split]["rows"], who) for split in SPLITS]
    entropy = [f"{own[split]['cross_entropy']:.3f}" for split in SPLITS]
    gains = [
        NONE if own is generalist else f"{100 * (own[split]['accuracy'] / generalist[split]['accuracy'] - 1):+.1f} %"
        for split in SPLITS
    ]
    return [label, *accuracy, *covered, *entropy, *gains]


def _covered(rows: Sequence[Mapping[str, int]], who: str) -> str:
    covered = [row for row in rows if row["specialists"] > 0]
    frames = sum(row["frames"] for row in covered)
    return f"{100 * sum(row[f'{who}_correct'] for row in covered) / frames:.2f}" if frames else NONE


def _kept(found: Mapping[str, Any]) -> str:
    """What the student of all has above its like, beside what its teacher has above the generalist, in words."""
    both, students = found["combinations"][found["distilled"]], found["students"]
    parts = []
    for split in SPLITS:
        of_all, of_one = (students[name][split]["accuracy"] for name in STUDENTS)
        teacher = both[split]["combined"]["accuracy"] - both[split]["generalist"]["accuracy"]
        parts.append(f"{100 * (of_all - of_one):+.2f} on {split}, where its teacher has {100 * teacher:+.2f}")
    return f"In points of accuracy the first has above the second {' and '.join(parts)}; each is one run."
