"""How right the generalist and its specialists are together on dev and test: parallel jobs of stage 11."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkd.align.labels import NO_LABEL, load_labels
from asrkd.config import Config
from asrkd.experiment import Step
from asrkd.features.store import FrameStore
from asrkd.files import write_json
from asrkd.models.dnn import load_model
from asrkd.progress import track
from asrkd.specialists.tables import coverage_rows, covering_specialists
from asrkd.specialists.trained import LEAST, Said, combined_posteriors, load_all
from asrkd.train.data import FrameData
from asrkd.train.device import choose_device
from asrkd.train.loop import evaluate

MEASURED = "measured.json"
SPLITS = ("dev", "test")


def measure_combination(exp: Path, config: Config, models: Sequence[str], step: Step) -> None:
    """Fill the folder of a step that has begun, and finish the step: measured.json has what `compare` gives of each
    split.

    models: the folders of the generalist and of the specialists in the experiment.
    """
    step.started = time.monotonic()  # the wait for a core is no work
    generalist, specialists = load_all(exp, models, choose_device(config.run.device))
    clusters = [specialist.pdfs for specialist in specialists]
    found = {}
    for split in SPLITS:
        store = FrameStore.open(exp / "features" / split)
        labels = load_labels(exp / "align" / split)
        said = combined_posteriors(generalist, specialists, store, store.ids, config.train.precision)
        what = f"{step.folder.name} specialists on {split}"
        pairs = (
            (torch.from_numpy(labels[store.first[u] : store.first[u] + store.counts[u]].astype("int64")), own)
            for name, own in track(said, what=what, total=len(store), unit="utterances")
            for u in [store.index[name]]
        )
        found[split] = compare(pairs, clusters, generalist.num_pdfs)
    write_json(step.folder / MEASURED, found)
    step.finish([MEASURED])


def compare(utterances: Iterable[tuple[Tensor, Said]], clusters: Sequence[Tensor], num_pdfs: int) -> dict[str, Any]:
    """Of labels (T,), 65535 where a frame has none, and what was said of it:

    {"frames", "generalist" and "combined": {"accuracy": a share, "cross_entropy": nats}, "rows": those of the paper's
    table 4, "unfinished": the share of all frames whose descent ended before its minimum was sure}.
    """
    tops, losses, unfinished, frames = [], [], 0, 0
    for labels, said in utterances:
        frames, unfinished = frames + len(labels), unfinished + said.unfinished
        labelled = labels != NO_LABEL
        own = labels[labelled]  # (L,)
        both = [posteriors[labelled] for posteriors in (said.generalist, said.combined)]
        tops.append(torch.stack([own, *(p.argmax(1) for p in both)]))  # (3, L)
        right = torch.stack([p.gather(1, own.unsqueeze(1)).squeeze(1) for p in both])  # (2, L)
        losses.append(-right.double().clamp(min=LEAST).log().sum(1))  # (2,)
    labels, generalist, combined = torch.cat(tops, 1)
    losses_of = torch.stack(losses).sum(0) / len(labels)
    rows = coverage_rows(labels, generalist, combined, covering_specialists(labels, clusters, num_pdfs))
    measured = {
        name: {"accuracy": float((top == labels).double().mean()), "cross_entropy": float(loss)}
        for name, top, loss in zip(("generalist", "combined"), (generalist, combined), losses_of, strict=True)
    }
    return {
        "frames": len(labels),
        **measured,
        "rows": [asdict(row) for row in rows],
        "unfinished": unfinished / frames,
    }


def measure_model(exp: Path, config: Config, name: str) -> dict[str, dict[str, float]]:
    """{"dev" and "test": {"accuracy": a share, "cross_entropy": nats}} of a model that is a net of all pdfs."""
    model = load_model(exp / "models" / name)[0].to(choose_device(config.run.device))
    found = {}
    for split in SPLITS:
        data = FrameData.open(exp / "features" / split, exp / "align" / split, model.config)
        accuracy, cross_entropy = evaluate(model, data, config.train.precision)
        found[split] = {"accuracy": accuracy / 100, "cross_entropy": cross_entropy}
    return found
