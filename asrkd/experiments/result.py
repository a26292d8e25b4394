"""What an experiment leaves behind: EXP/experiments/NAME.json, and its tables on the terminal.

What a quick call makes lies apart, under quick/NAME in place of NAME, its nets and targets too: it neither replaces
what was measured nor is taken for it, and the report does not look there.
"""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import asrkd
from asrkd.config import Config, section, with_newer_keys
from asrkd.experiment import STAMP, identity
from asrkd.files import write_json
from asrkd.report.experiments import FOLDER, read_result
from asrkd.report.figures import HeatMap, Lines
from asrkd.report.table import Table
from asrkd.systems import member_names
from asrkd.train.training import at_speed

QUICK_EPOCHS = 2
LOG_WIDTH = 140  # characters


@dataclass(frozen=True)
class Options:
    """How a command was called."""

    quick: bool = False  # a few models of an epoch or two: shows that all works, measures nothing
    epochs: int | None = None  # of every net that the experiment trains; None is the config's
    force: bool = False

    def place(self, name: str) -> str:
        """Of an experiment under EXP/experiments, EXP/models, EXP/targets and EXP/decode."""
        return f"quick/{name}" if self.quick else name


@dataclass(frozen=True)
class Result:
    rows: list[dict[str, Any]]  # what was measured, as numbers
    tables: list[Table]
    lines: list[Lines] = field(default_factory=list)
    heat_maps: list[HeatMap] = field(default_factory=list)


def run_experiment(
    exp: Path,
    config: Config,
    name: str,
    options: Options,
    work: Callable[[], Result],
    *,
    inputs: Mapping[str, str] | None = None,
    sections: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> None:
    """Do the work, unless its result is there and of the same config, options and inputs; print the tables.

    inputs: name -> identity, beside the features, the labels and the members, which every experiment has. sections: of
    the config, beside those of the nets. targets: folders of soft targets that nothing needs once the result is there;
    they are removed then, and not before, so that a call that was killed goes on. Raises UserError when an input is
    missing.
    """
    path = exp / FOLDER / f"{options.place(name)}.json"
    made_from = {
        "config": section(config, "model", "train", "ensemble", "distill", *sections),
        "inputs": {**_inputs(exp, config), **(inputs or {})},
        "quick": options.quick,
        "epochs": options.epochs,
    }
    if path.is_file() and not options.force and _made_from(path) == made_from:
        print(f"{path}: finished, skipped", flush=True)
    else:
        began = time.monotonic()
        result = work()
        about = {"name": name, "command": _command(exp, name, options), "commit": _commit(), "made_from": made_from}
        seconds = round(time.monotonic() - began, 1)  # of the last call, where one was killed
        write_json(path, {**about, "seconds": seconds, **asdict(result)})
    for folder in targets:
        for speed in config.distill.speeds:
            _remove(exp / at_speed(folder, speed))
    for table in read_result(path)["tables"]:
        show(Table(**table))
    print(f"{path}: the tables and what they were made from", flush=True)


def shortened(config: Config, options: Options, *, students_alone: bool = False) -> Config:
    """With the options' epochs for students and for nets that are trained as the members are, where there are any."""
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else None)
    if epochs is None:
        return config
    train = config.train if students_alone else replace(config.train, epochs=epochs)
    return replace(config, train=train, distill=replace(config.distill, epochs=epochs))


def show(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn

    drawn = Drawn(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if place < table.texts else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH  # rich takes a file for 80 characters wide, and breaks the rows' names
    console.print(drawn)
    for note in table.notes:
        console.print(note)


def _made_from(path: Path) -> dict[str, Any]:
    """What a result was made from, in the keys that the config has now."""
    found: dict[str, Any] = read_result(path).get("made_from", {})
    return {**found, "config": with_newer_keys(found.get("config", {}))}


def _inputs(exp: Path, config: Config) -> dict[str, str]:
    inputs = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", "dev", "test")}
    inputs["align"] = identity(exp / "align", "stage 3")
    return inputs | {f"models/{name}": identity(exp / "models" / name, "stage 4") for name in member_names(config)}


def _remove(folder: Path) -> None:
    """The stamp goes last: a folder that a kill leaves half empty is known as asrkd's."""
    if folder.is_dir():
        for path in sorted(folder.iterdir(), key=lambda path: path.name == STAMP):
            path.unlink()
        folder.rmdir()


def _command(exp: Path, name: str, options: Options) -> str:
    words = ["asrkd", "experiment", str(exp), name]
    words += ["--quick"] if options.quick else []
    return " ".join(words + ([f"--epochs {options.epochs}"] if options.epochs else []))


def _commit() -> str | None:
    """Of the work tree that asrkd is run from, with -dirty for changes since; None where it was installed."""
    package = Path(asrkd.__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", package, *words], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    # A virtual environment may lie in a work tree of something else.
    if git("rev-parse", "--show-prefix") != "asrkd/":
        return None
    return git("describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
