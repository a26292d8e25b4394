"""Posteriors of models on the labelled frames of a split, measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrkd.align.labels import NO_LABEL, load_labels
from asrkd.config import Config
from asrkd.distill.ensemble import ensemble_posteriors
from asrkd.errors import UserError
from asrkd.experiments.measures import SUMS, Measures, frame_sums, measures
from asrkd.features.store import FrameStore
from asrkd.models.dnn import AcousticModel, load_model
from asrkd.parallel import parallel
from asrkd.progress import track
from asrkd.train.device import choose_device, one_net_at_a_time
from asrkd.train.forward import blocks_of_logits, expect_alike

SPLITS = ("dev", "test")


def measure_models(exp: Path, config: Config, names: Sequence[str]) -> dict[tuple[str, str], Measures]:
    """(model, dev or test) -> what it makes of the labelled frames. Raises UserError when one is missing."""
    keys = [(name, split) for name in names for split in SPLITS]
    jobs = [(exp, config, [name], split) for name, split in keys]
    sums = parallel(mean_sums, jobs, one_net_at_a_time(config.run), what="frames", unit="passes")
    return {key: measures(own) for key, own in zip(keys, sums, strict=True)}


def mean_sums(exp: Path, config: Config, names: Sequence[str], split: str, ids: Sequence[str] | None = None) -> Tensor:
    """`frame_sums` of the mean posterior of these models; ids: the utterances, None for all of the split."""
    total = torch.zeros(SUMS, dtype=torch.float64)
    for probs, labels in labelled(exp, config, names, split, ids):
        total += frame_sums(probs.mean(0), labels)
    return total


def labelled(
    exp: Path, config: Config, names: Sequence[str], split: str, ids: Sequence[str] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each utterance with labels its posteriors at T = 1, (M, T, C) float32, and labels (T,) int64, both of the
    labelled frames alone. Raises UserError when a model, the features or the labels are missing, or no frame of the
    split has one."""
    store = FrameStore.open(exp / "features" / split)
    pdfs = load_labels(exp / "align" / split)
    if ids is None and (pdfs == NO_LABEL).all():
        raise UserError(f"{exp / 'align' / split}: expected labelled frames, found none; see left_out.jsonl of stage 3")
    device = choose_device(config.run.device)
    models = [load_model(exp / "models" / name)[0].to(device) for name in names]
    ids = store.ids if ids is None else ids
    what = f"{names[0]} on {split}" if len(names) == 1 else f"{len(names)} models on {split}"
    found = _each_models(models, store, ids, config.train.precision)
    for name, probs in track(found, what=what, total=len(ids), unit="utterances"):
        u = store.index[name]
        own = pdfs[store.first[u] : store.first[u] + store.counts[u]]
        kept = torch.from_numpy(own != NO_LABEL)
        if kept.any():
            yield probs[:, kept], torch.from_numpy(own.astype(np.int64))[kept]


def _each_models(
    models: Sequence[AcousticModel], store: FrameStore, ids: Sequence[str], precision: str
) -> Iterator[tuple[str, Tensor]]:
    """For each utterance the posteriors of each model: (M, T, C) float32 on the CPU."""
    expect_alike(models, store)
    for names, counts, logits in blocks_of_logits(models, store, ids, precision):
        probs = [ensemble_posteriors([own]).cpu().split_with_sizes(counts) for own in logits]
        for name, *own in zip(names, *probs, strict=True):
            yield name, torch.stack(own)
