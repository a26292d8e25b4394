"""The clusters of an experiment: what the generalist confuses on the training frames."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asrkd.align.labels import NO_LABEL, load_labels
from asrkd.align.phones import phone_of_pdfs
from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json
from asrkd.models.dnn import load_model
from asrkd.progress import track
from asrkd.specialists.clusters import cluster_pdfs, confused_pdfs, correlation, covariance, describe
from asrkd.train.device import choose_device
from asrkd.train.forward import posteriors

CLUSTERS = "clusters.json"
SAMPLE_FRAMES = 1_000_000  # that the covariance is taken of; on more of them it hardly changes
BLOCK = 10_000_000  # labels that are counted at once


def find_clusters(exp: Path, config: Config, generalist: str, step: Step) -> None:
    """Fill the folder of a step that has begun, and finish the step: clusters.json has

    {"frames": how many of each pdf are in train, "specialists": a list of {"pdfs": sorted, "phones": [[phone, pdfs],
    ...], the most frequent first, "frames": the pdfs' share of the labelled frames}}.

    Raises UserError when there are too few pdfs for the clusters asked for.
    """
    step.started = time.monotonic()
    own = config.specialists
    label_set = read_json(exp / "align" / "label_set.json")
    num_pdfs, names = label_set["num_pdfs"], label_set["phones"]
    if own.pdfs >= num_pdfs or own.count > num_pdfs:
        raise UserError(
            f"specialists.count={own.count}, specialists.pdfs={own.pdfs}: expected at most {num_pdfs} specialists "
            f"of at most {num_pdfs - 1} pdfs, since {exp / 'align'} has {num_pdfs} pdfs"
        )
    model = load_model(exp / "models" / generalist)[0].to(choose_device(config.run.device))
    store = FrameStore.open(exp / "features" / "train")
    ids = spread_utterances(store)
    found = posteriors([model], store, ids, precision=config.train.precision)
    confused = track(found, what="clusters", total=len(ids), unit="utterances")
    together = covariance(probs for _, (probs,) in confused)
    clusters = confused_pdfs(together, cluster_pdfs(correlation(together), own.count, own.seed), own.pdfs)  # (K, S)

    frames = count_labels(exp / "align" / "train", num_pdfs)
    phones = [names[phone] for phone in phone_of_pdfs(exp / "align" / "pdfs.npy")]
    specialists = [
        {
            "pdfs": pdfs.tolist(),
            "phones": phones_of(pdfs.tolist(), phones),
            "frames": float(frames[pdfs.numpy()].sum() / frames.sum()),
        }
        for pdfs in clusters
    ]
    write_json(step.folder / CLUSTERS, {"frames": frames.tolist(), "specialists": specialists})
    step.finish([CLUSTERS])


def spread_utterances(store: FrameStore) -> list[str]:
    """All, or as many as have about SAMPLE_FRAMES, from everywhere in the store."""
    count = min(len(store), max(2, round(len(store) * SAMPLE_FRAMES / len(store.frames))))
    return [store.ids[u] for u in np.linspace(0, len(store) - 1, count).round().astype(int)]


def count_labels(folder: Path, num_pdfs: int) -> np.ndarray:
    """(num_pdfs,) int64, the frames of each pdf."""
    labels = load_labels(folder)
    count = np.zeros(NO_LABEL + 1, dtype=np.int64)
    for begin in range(0, len(labels), BLOCK):
        count += np.bincount(labels[begin : begin + BLOCK], minlength=len(count))
    return count[:num_pdfs]


def phones_of(pdfs: Sequence[int], pdf_phones: Sequence[str]) -> list[tuple[str, int]]:
    """The phones of these pdfs and how many of them are of each, the most frequent first."""
    (phones,) = describe(torch.zeros(len(pdfs), dtype=torch.int64), [pdf_phones[pdf] for pdf in pdfs])
    return phones
