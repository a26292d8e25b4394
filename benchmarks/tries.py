"""Tries of the training's options on an experiment's own data: what each brings on dev, and what it costs.

    python -m benchmarks.tries EXP FOLDER NAME [--wer] [SECTION.KEY=VALUE...]    makes FOLDER/NAME, prints all in FOLDER
    python -m benchmarks.tries EXP FOLDER NAME --realign [...]                   on labels by EXP's own member-01

A try is an experiment that shares stages 0 to 3 (and 8) of EXP as long as no value changes them, and trains members
alone (`ensemble.members=2` for two seeds). `--wer` decodes test with each. A finished one is only printed.
"""

import hashlib
import os
import shutil
import statistics
import sys
from pathlib import Path

import numpy as np

from asrkd.align.labelling import load_model as load_aligner
from asrkd.align.labelling import open_speech_of, read_words
from asrkd.align.labels import LABELS, NO_LABEL
from asrkd.align.prepare import MODEL, align_corpus
from asrkd.align.viterbi import best_path
from asrkd.config import Config
from asrkd.corpus.cuts import SPLITS
from asrkd.decode.graph import build_graph
from asrkd.decode.prepare import run_systems
from asrkd.decode.split import HYPOTHESES, decode_system, prior
from asrkd.experiment import Step, locked
from asrkd.features.extract import extract_features
from asrkd.features.store import FrameStore
from asrkd.files import read_json, read_jsonl, write_json, write_npy
from asrkd.models.dnn import load_model
from asrkd.score.counts import word_errors
from asrkd.settings import load_config, save_config
from asrkd.systems import member_names, systems
from asrkd.train.forward import log_posteriors
from asrkd.train.members import train_members
from benchmarks.timing import table

SHARED = ("data", "features", "lang", "align", "graph")
TRIED = "tried.txt"


def run(exp: Path, folder: Path, overrides: list[str], wer: bool, realigned: bool) -> None:
    for name in SHARED:
        if not (folder / name).exists() and (exp / name).exists():
            # Links: what a stage makes anew replaces its file and leaves the linked one alone.
            shutil.copytree(exp / name, folder / name, copy_function=os.link)
    config = load_config(exp / "config.yaml", overrides=overrides)
    with locked(folder):
        save_config(config, folder / "config.yaml")
        (folder / TRIED).write_text(" ".join(overrides) + "\n", encoding="utf-8")
        extract_features(folder, config)
        if not realigned:
            align_corpus(folder, config)
        elif not (folder / "realigned").is_file():
            realign(exp, folder, config)
        train_members(folder, config)
        if wer and not (folder / "wer.json").is_file():
            build_graph(folder, config)
            members = [system for system in systems(config) if system.kind == "member"]
            steps = [Step(folder / "decode" / m.name, made_by="tries", config={}, inputs={}) for m in members]
            jobs = [(folder, config, m, step) for m, step in zip(members, steps, strict=True) if step.begin()]
            run_systems(decode_system, jobs, config.run, what="decoding")
            cuts = folder / "data" / "test.jsonl.gz"
            made = [word_errors(cuts, step.folder / "test" / HYPOTHESES).wer for step in steps]
            write_json(folder / "wer.json", [100 * value for value in made])


def realign(exp: Path, folder: Path, config: Config) -> None:
    """Labels of FOLDER by EXP's first member: the best paths of its posteriors over its prior, in place of the GMMs."""
    model, _ = load_model(exp / "models" / "member-01")
    words, aligner = read_words(exp / "lang"), load_aligner(exp / "align")
    log_prior = np.log(prior(exp))
    step = Step(folder / "align", made_by="tries", config={"realigned": True}, inputs={}, force=True)
    step.begin()
    for name in MODEL:
        shutil.copyfile(exp / "align" / name, step.folder / name)
    for split in SPLITS:
        features, cuts = exp / "features" / split, exp / "data" / f"{split}.jsonl.gz"
        store = FrameStore.open(features)
        labels = np.full(len(store.frames), NO_LABEL, dtype=np.uint16)
        with open_speech_of(features, cuts, words, folder / "align" / split) as (speech, _, _):
            for u, (_, log_p) in enumerate(log_posteriors([model], store)):
                graph = speech.graphs[u]
                if graph is None:
                    continue
                pdfs = aligner.pdfs.ravel()[graph.units].astype(np.int32)
                path, score = best_path(graph, pdfs, log_p.numpy() - log_prior.astype(np.float32), aligner.stay)
                if np.isfinite(score):
                    labels[speech.rows(u)] = pdfs[path]
        before = np.load(exp / "align" / split / LABELS)
        print(f"{split}: {100 * np.mean(labels == before):.1f} % of the labels stay", flush=True)
        write_npy(folder / "align" / split / LABELS, labels)
        if split == "train":
            counts = np.maximum(np.bincount(labels[labels != NO_LABEL], minlength=len(log_prior)), 0.5)
            write_npy(folder / "align" / "prior.npy", (counts / counts.sum()).astype(np.float32))
    step.finish([*MODEL, *(f"{split}/{LABELS}" for split in SPLITS)])
    digest = hashlib.sha256((folder / "align" / "train" / LABELS).read_bytes()).hexdigest()
    (folder / "realigned").write_text(digest + "\n", encoding="utf-8")


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
        ", ".join(f"{wer:.1f}" for wer in read_json(folder / "wer.json")) if (folder / "wer.json").is_file() else "",
    ]


if __name__ == "__main__":
    exp, folder, name, *rest = sys.argv[1:]
    overrides = [word for word in rest if not word.startswith("--")]
    run(Path(exp), Path(folder) / name, overrides, "--wer" in rest, "--realign" in rest)
    rows = [row(path.parent) for path in sorted(Path(folder).glob(f"*/{TRIED}"))]
    head = ("try", "dev accuracy", "dev cross-entropy", "train accuracy", "epochs", "minutes a member", "WER test")
    print(table(head, [cells for cells in rows if cells is not None]))
