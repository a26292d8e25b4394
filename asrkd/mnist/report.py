"""The report of recipes/mnist: EXP/report with RESULTS.md, results.json and index.html, as that of speech."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.experiment import STAMP, Step, identity
from asrkd.files import hash_value, read_json, write_json, write_text
from asrkd.mnist.frames import SPLITS
from asrkd.mnist.nets import nets, temperatures
from asrkd.mnist.score import SCORES, stage_of
from asrkd.train.training import targets_name

TITLE = "Distilling a net of digits"
LEAD = (
    "A large net, a small one, and the small one distilled from the large, after section 3 of Hinton, Vinyals and "
    "Dean, “Distilling the Knowledge in a Neural Network” (2015), with the paper's figures beside ours."
)
OUTPUTS = ("RESULTS.md", "results.json", "index.html")
SECTIONS = ("model", "train", "ensemble", "distill", "mnist")
STAGES = {"stage 4": "4 hard targets", "stage 6": "6 soft targets", "stage 7": "7 temperatures"}


def write_report(exp: Path, config: Config, force: bool = False) -> None:
    """The paper's figures beside ours, as Markdown, as JSON and as a page. The same experiment gives the same bytes.

    Raises UserError when there are no scores.
    """
    made = {"scores": identity(exp / "scores", "stage 10")}
    stamps = read_stamps(exp, config)
    made["stamps"] = hash_value(stamps)  # the report prints their times and versions
    step = Step(exp / "report", made_by="stage 10", config=section(config, *SECTIONS), inputs=made, force=force)
    if step.begin():
        _build(step, exp, config, stamps)


def read_stamps(exp: Path, config: Config) -> dict[str, list[dict[str, Any]]]:
    """stage -> the stamps of its steps."""
    folders = {"1 images": [exp / "features" / split for split in SPLITS], "3 labels": [exp / "align"]}
    folders |= {stage: [] for stage in STAGES.values()}
    for name in nets(config):
        folders[STAGES[stage_of(name)]].append(exp / "models" / name)
    folders["5 targets of the teacher"] = [exp / targets_name(temperature) for temperature in temperatures(config)]
    folders["10 scores"] = [exp / "scores"]
    return {
        stage: [read_json(folder / STAMP) for folder in some] for stage, some in sorted(folders.items(), key=_place)
    }


def _place(item: tuple[str, Any]) -> int:
    return int(item[0].split()[0])


def _build(step: Step, exp: Path, config: Config, stamps: Mapping[str, list[dict[str, Any]]]) -> None:
    # Only now: what draws takes a second to import.
    import yaml

    from asrkd.mnist.figures import figures, headline
    from asrkd.mnist.tables import nets_table, partial_table, sweep_table
    from asrkd.report import facts
    from asrkd.report.page import page
    from asrkd.report.table import markdown

    scores = read_json(exp / "scores" / SCORES)
    times = {stage: facts.seconds(found) for stage, found in stamps.items()}
    run = {"machine": facts.machine(), "versions": facts.versions(stamps)}
    tables = [nets_table(config, scores), partial_table(config, scores), sweep_table(config, scores)]
    about = [facts.times_table(times), facts.machine_table(run)]
    config_text = yaml.safe_dump(step.config, sort_keys=False)

    parts = [f"# {TITLE}\n", f"{LEAD}\n", *(markdown(table) for table in [*tables, *about])]
    write_text(step.folder / "RESULTS.md", "\n".join([*parts, f"## The config\n\n```yaml\n{config_text}```\n"]))
    write_json(step.folder / "results.json", {**scores, "seconds": times, **run, "config": step.config})
    document = page(
        title=TITLE,
        lead=LEAD,
        headline=headline(config, scores),
        figures=figures(config, scores),
        tables=tables,
        examples=[],
        sounds={},
        run_tables=about,
        config=config_text,
    )
    write_text(step.folder / "index.html", document)
    step.finish(OUTPUTS)
    for row in tables[0].rows:
        print(f"{row[0]}: {row[1]} test errors (paper: {row[2]})", flush=True)
    print(f"{step.folder / 'index.html'}: the report", flush=True)
