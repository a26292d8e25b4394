"""Tries of the training's options on an experiment's own data: what each brings on dev, and what it costs.

    python -m benchmarks.tries EXP FOLDER NAME [SECTION.KEY=VALUE...]    makes FOLDER/NAME, prints all in FOLDER

A try is an experiment that shares stages 0 to 3 of EXP as long as no value changes them, and trains members alone
(`ensemble.members=2` for two seeds). A finished one is only printed.
"""

import os
import shutil
import statistics
import sys
from pathlib import Path

from asrkd.align.prepare import align_corpus
from asrkd.config import load_config, save_config
from asrkd.experiment import locked, read_json, read_jsonl
from asrkd.features.extract import extract_features
from asrkd.systems import member_names
from asrkd.train.members import train_members
from benchmarks.timing import table

SHARED = ("data", "features", "lang", "align")
TRIED = "tried.txt"


def run(exp: Path, folder: Path, overrides: list[str]) -> None:
    for name in SHARED:
        if not (folder / name).exists():
            # Links: what a stage makes anew replaces its file and leaves the linked one alone.
            shutil.copytree(exp / name, folder / name, copy_function=os.link)
    config = load_config(exp / "config.yaml", overrides=overrides)
    with locked(folder):
        save_config(config, folder / "config.yaml")
        (folder / TRIED).write_text(" ".join(overrides) + "\n", encoding="utf-8")
        extract_features(folder, config)
        align_corpus(folder, config)
        train_members(folder, config)


def row(folder: Path) -> list[str] | None:
    """A line of the table, or None when the try is not finished."""
    names = member_names(load_config(folder / "config.yaml"))
    models = [folder / "models" / name for name in names]
    stamps = [model / "stamp.json" for model in models]
    if not all(stamp.is_file() and read_json(stamp)["state"] == "finished" for stamp in stamps):
        return None
    cards = [read_json(model / "card.json") for model in models]
    curves = [read_jsonl(model / "curves.jsonl") for model in models]
    accuracy, entropy, on_train = (
        statistics.mean(card[key] for card in cards) for key in ("dev_accuracy", "dev_cross_entropy", "train_accuracy")
    )
    each = ", ".join(f"{card['dev_accuracy']:.2f}" for card in cards)
    minutes = statistics.mean(sum(epoch["seconds"] for epoch in curve) for curve in curves) / 60
    return [
        f"{folder.name}: {(folder / TRIED).read_text(encoding='utf-8').strip()}",
        f"{accuracy:.2f} ({each})",
        f"{entropy:.3f}",
        f"{on_train:.1f}",
        f"{statistics.mean(len(curve) for curve in curves):.3g}",
        f"{minutes:.1f}",
    ]


if __name__ == "__main__":
    exp, folder, name, *overrides = sys.argv[1:]
    run(Path(exp), Path(folder) / name, overrides)
    rows = [row(path.parent) for path in sorted(Path(folder).glob(f"*/{TRIED}"))]
    head = ("try", "dev accuracy", "dev cross-entropy", "train accuracy", "epochs", "minutes a member")
    print(table(head, [cells for cells in rows if cells is not None]))
