"""A tiny experiment after stage 3: frames that are a mean of their pdf and noise, of a few speakers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from asrkd.experiment import Step
from asrkd.features.store import write_store
from asrkd.files import write_json, write_npy


def write_experiment(
    folder: Path,
    rng: np.random.Generator,
    means: np.ndarray,
    draw_labels: Callable[[], np.ndarray],
    *,
    utterances: Mapping[str, int],
    speakers: int,
    phones: Sequence[str] = (),
    pdfs: np.ndarray | None = None,
) -> Path:
    """means: (pdfs, mel); draw_labels: the pdf of each frame of an utterance; utterances: how many of each split;
    pdfs: what pdfs.npy of stage 3 holds, where something needs it. The fourth utterance of a split has no labels."""
    num_pdfs, mel = means.shape
    align = Step(folder / "align", made_by="stage 3", config={}, inputs={})
    align.begin()
    for split, count in utterances.items():
        labels = [draw_labels() for _ in range(count)]
        frames = [means[own] + rng.standard_normal((len(own), mel)) for own in labels]
        rows = [(f"{split}-{u}", f"speaker-{u % speakers}", own) for u, own in enumerate(frames)]
        step = Step(folder / "features" / split, made_by="stage 1", config={}, inputs={})
        step.begin()
        write_store(step.folder, rows, num_mel=mel, dtype="float16")
        step.finish(["frames.npy", "utterances.jsonl"])
        labels[3] = np.full_like(labels[3], 65535)  # an utterance that could not be aligned
        write_npy(align.folder / split / "labels.npy", np.concatenate(labels).astype(np.uint16))
    write_json(align.folder / "label_set.json", {"num_pdfs": num_pdfs, "phones": list(phones), "hash": "labels"})
    made = ["label_set.json", *(f"{split}/labels.npy" for split in utterances)]
    if pdfs is not None:
        write_npy(align.folder / "pdfs.npy", pdfs)
        made.append("pdfs.npy")
    align.finish(made)
    return folder
