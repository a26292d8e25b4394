"""The run behind the tables: what each stage reported, how long it took, on which machine and with which versions."""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from asrkd.config import Config
from asrkd.experiment import STAMP
from asrkd.files import read_json
from asrkd.parallel import cores
from asrkd.progress import duration
from asrkd.report.cells import NONE
from asrkd.report.scores import Score, Scores
from asrkd.report.table import Table
from asrkd.systems import all_fold_teachers
from asrkd.train.training import at_speed, targets_name

SPLITS = ("train", "dev", "test")
REPORTS = {"data": "Corpus", "lang": "Lexicon and language model", "align": "Alignment", "graph": "Decoding graph"}


def stage_reports(exp: Path) -> dict[str, Any]:
    """folder -> its report.json. Raises UserError when one is missing."""
    return {folder: without_folders(read_json(exp / folder / "report.json")) for folder in REPORTS}


def without_folders(value: Any) -> Any:
    """A report goes to others: in its words, files are named without the folders of this machine that they lie in."""
    if isinstance(value, Mapping):
        return {key: without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_folders(part) for part in value]
    return re.sub(r"(?<!\S)/\S*/(?=\S)", "", value) if isinstance(value, str) else value


def report_tables(folder: str, report: Mapping[str, Any]) -> list[Table]:
    """What a stage reported, name by name, and what it reported by split with a column for each."""
    by_split = {name: _flat(value) for name, value in report.items() if name in SPLITS and isinstance(value, Mapping)}
    rest = _flat({name: value for name, value in report.items() if name not in by_split})
    tables = []
    if rest:
        rows = [[name, _value(value)] for name, value in rest.items()]
        tables.append(Table(folder, REPORTS[folder], ["", "value"], rows))
    if by_split:
        names = dict.fromkeys(name for column in by_split.values() for name in column)
        rows = [[name, *(_value(column.get(name)) for column in by_split.values())] for name in names]
        tables.append(Table(f"{folder}-sets", f"{REPORTS[folder]}, by set", ["", *by_split], rows))
    return tables


def decoding(exp: Path, scores: Scores) -> dict[str, dict[str, Any]]:
    """system -> how it was decoded on test: the scales that dev chose, and stage 9's report of the search."""
    found = {}
    for score in scores.all():
        name = score.system.name
        folder = exp / "decode" / name / "test"
        passes = read_json(exp / "counts" / name / "passes.json")
        found[name] = read_json(folder / "scales.json") | read_json(folder / "report.json") | {"passes": passes}
    return found


def decoding_table(scores: Scores, decoded: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ["", "Parameters", "LM scale", "Insertion penalty", "WER dev", "WER test"]
    columns += ["Posteriors, × real time", "Search, × real time", "Without a path"]
    rows = [_decoding_row(score, decoded[score.system.name]) for score in scores.all()]
    scales = " or ".join(sorted({f"{chosen['acoustic_scale']:g}" for chosen in decoded.values()}))
    notes = [
        "All systems share one graph, one beam and one prior. LM scale and insertion penalty are those of the lowest "
        f"WER on dev; the acoustic scale is {scales}. Times are of one core with other jobs beside it, on test."
    ]
    return Table("decoding", "Decoding", columns, rows, notes)


def _decoding_row(score: Score, decoded: Mapping[str, Any]) -> list[str]:
    point = decoded["second"] or decoded["first"]
    return [
        score.system.label,
        f"{score.parameters:,}",
        f"{point['lm_scale']:g}",
        f"{point['insertion_penalty']:g}",
        f"{score.dev.wer:.1f}",
        f"{score.test.wer:.1f}",
        f"{decoded['posteriors_seconds'] / decoded['audio_seconds']:.4f}",
        f"{decoded['search_real_time_factor']:.3f}",
        str(len(decoded["without_path"])),
    ]


def passes_table(scores: Scores, decoded: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """First pass, second pass and oracle; None where there was no second pass."""
    if any(found["passes"]["test"] is None for found in decoded.values()):
        return None
    columns = ["", "Weight of the second LM", "First pass dev", "Second pass dev", "Oracle dev"]
    columns += ["First pass test", "Second pass test", "Oracle test"]
    rows = []
    for score in scores.all():
        found = decoded[score.system.name]
        wers = [found["passes"][split][name] for split in ("dev", "test") for name in ("first", "second", "oracle")]
        weight = f"{found['second']['second_weight']:g}"
        rows.append([score.system.label, weight, *(f"{100 * wer:.1f}" for wer in wers)])
    notes = [
        "WER in percent. The second pass chooses from the n best of each lattice with a larger language model, whose "
        "weight dev decides; the oracle chooses those with the fewest errors, so that what it lacks the search lacks."
    ]
    return Table("passes", "Two passes", columns, rows, notes)


def stamps(
    exp: Path, scores: Scores, config: Config, specialists: Sequence[Path] = ()
) -> dict[str, list[dict[str, Any]]]:
    """stage -> the stamps of its steps. specialists: the folders of stage 11, which not every experiment has."""
    # Not all that lie there: others are of an earlier config's temperatures and speeds.
    targets = [at_speed(targets_name(t), speed) for t in config.distill.temperatures for speed in config.distill.speeds]
    models = {
        "4 members": [score.system.name for score in scores.members],
        "6 students": [score.system.name for score in scores.all_students()],
        "7 limited data": [score.system.name for pair in scores.limited.values() for score in pair],
    }
    folders = {
        "0 data": [exp / "data"],
        "1 features": [exp / "features"],
        "2 lexicon and LM": [exp / "lang"],
        "3 alignment": [exp / "align"],
        "4 members": [],
        "5 soft targets": [
            *(exp / "models" / name for name in all_fold_teachers(config)),
            *(exp / name for name in targets),
        ],
        "6 students": [],
        "7 limited data": [],
        "8 graph": [exp / "graph"],
        # An experiment's own systems lie beside them.
        "9 decoding": [exp / "decode" / score.system.name for score in scores.all()],
        "10 scores": [exp / "counts", exp / "scores"],
    }
    if specialists:
        folders["11 specialists"] = list(specialists)
    for stage, names in models.items():
        folders[stage] = [exp / "models" / name for name in names]
    return {stage: [s for folder in some for s in _stamps_below(folder)] for stage, some in folders.items()}


def seconds(found: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """`work`, the sum over the steps, and `clock`, the time during which at least one of them ran."""
    spans = []
    for stamp in found:
        end = datetime.fromisoformat(stamp["finished"])
        spans.append((end - timedelta(seconds=stamp["seconds"]), end))
    clock, until = 0.0, datetime.min
    for start, end in sorted(spans):
        clock += max((end - max(start, until)).total_seconds(), 0.0)
        until = max(until, end)
    return {"work": round(sum((end - start).total_seconds() for start, end in spans), 1), "clock": round(clock, 1)}


def times_table(by_stage: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [[stage, duration(time["clock"]), duration(time["work"])] for stage, time in by_stage.items()]
    total = {what: sum(time[what] for time in by_stage.values()) for what in ("clock", "work")}
    rows.append(["all", duration(total["clock"]), duration(total["work"])])
    notes = [
        "Work is the sum over the steps of a stage, of which several run at a time; of a resumed step, its last call."
    ]
    return Table("times", "Times", ["Stage", "By the clock", "Work"], rows, notes)


def versions(by_stage: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """package -> the version that the stages ran under; several, where they differ."""
    found: dict[str, set[str]] = {}
    for some in by_stage.values():
        for stamp in some:
            for package, version in stamp["versions"].items():
                found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(numbers)) for package, numbers in sorted(found.items())}


def machine() -> dict[str, Any]:
    """Of the machine that writes the report."""
    return {"processor": _processor(), "cores": cores(), "system": f"{platform.system()} {platform.machine()}"}


def machine_table(run: Mapping[str, Mapping[str, Any]]) -> Table:
    """Of the parts of `run`: the machine, the seeds, the versions."""
    rows = [[name, str(value)] for part in run.values() for name, value in part.items()]
    notes = ["The processor is that of the machine that wrote this report."]
    return Table("machine", "Machine, seeds and versions", ["", "value"], rows, notes)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _stamps_below(folder: Path) -> list[dict[str, Any]]:
    found = [read_json(path) for path in sorted(folder.rglob(STAMP))]
    return [stamp for stamp in found if stamp["state"] == "finished"]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers and words of a nested report under plain names, without its lists (results.json has those).

    {"lm": {"dev_oov": 1}} -> {"lm dev oov": 1}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{name} "))
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def _value(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
