"""Posteriors of a model or an ensemble: whole utterances, computed in large batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from asrkd.config import FeatureConfig
from asrkd.distill.ensemble import ensemble_posteriors
from asrkd.errors import UserError
from asrkd.features.splice import splice
from asrkd.features.store import FrameStore
from asrkd.models.dnn import AcousticModel
from asrkd.train.data import map_frames
from asrkd.train.device import autocast
from asrkd.train.perturb import perturbed, reach, speed_warps

BLOCK = 4096  # frames that are computed at once, rounded up to whole utterances


@torch.inference_mode()
def posteriors(
    models: Sequence[AcousticModel],
    store: FrameStore,
    ids: Sequence[str] | None = None,
    temperatures: Sequence[float] = (1.0,),
    precision: str = "auto",
) -> Iterator[tuple[str, list[Tensor]]]:
    """For each utterance its id and, a temperature each, the members' mean of softmax(z / T): (T, C) float32 on the
    CPU.

    ids: the utterances, None for all of the store. One pass over the models serves all temperatures. The models are
    used where they are, CPU or GPU. precision: auto, bfloat16 or float32.
    Raises UserError when an utterance is not in the store or the shapes do not fit, ValueError without models.
    """
    expect_alike(models, store)
    ids = store.ids if ids is None else ids
    for name in ids:
        if name not in store.index:
            raise UserError(f"{store.folder}: no utterance {name}; run stage 1 for the split it is in")
    for block, counts, logits in blocks_of_logits(models, store, ids, precision):
        means = [ensemble_posteriors(logits, t).cpu().split_with_sizes(counts) for t in temperatures]
        for number, name in enumerate(block):
            yield name, [own[number] for own in means]


def expect_alike(models: Sequence[AcousticModel], store: FrameStore) -> None:
    """Raises UserError unless the models are of one shape and hear frames like the store's, ValueError without any."""
    if not models:
        raise ValueError("expected at least one model, found none")
    shape = {(model.num_mel, model.num_pdfs, model.config.left, model.config.right) for model in models}
    if len(shape) != 1 or models[0].num_mel != store.frames.shape[1]:
        raise UserError(
            f"{store.folder}: expected models of one shape over {store.frames.shape[1]} mel bins, "
            f"found (mel, pdfs, left, right) of {sorted(shape)}"
        )


@torch.inference_mode()
def blocks_of_logits(
    models: Sequence[AcousticModel],
    store: FrameStore,
    ids: Sequence[str],
    precision: str = "auto",
    speed: float = 1.0,
    features: FeatureConfig | None = None,
) -> Iterator[tuple[list[str], list[int], list[Tensor]]]:
    """For each block of utterances their ids, their frame counts and each model's logits (N, its classes), on the
    models' device.

    The models have one window and one number of mel bins, the store's. speed: at which they hear the frames, as
    `perturb` makes them of the window; another one than 1 needs `features`.
    """
    device = next(models[0].parameters()).device
    frames = map_frames(store)
    window = models[0].config
    left, right = reach(window.left, [speed]), reach(window.right, [speed])
    warps = speed_warps([speed], window, features or FeatureConfig(), device)
    for model in models:
        model.eval()
    for names in in_blocks(store, ids):
        block = [store.index[name] for name in names]
        first = torch.tensor([int(store.first[u]) for u in block])
        count = torch.tensor([int(store.counts[u]) for u in block])
        utterance = torch.arange(len(block)).repeat_interleave(count)  # (N,)
        within = torch.arange(len(utterance)) - (count.cumsum(0) - count)[utterance]
        inputs = splice(
            frames, first[utterance] + within, first[utterance], (first + count - 1)[utterance], left, right
        )
        inputs = perturbed(inputs.to(device).float(), warps, [len(inputs)])  # (N, window * mel)
        with autocast(device, precision):
            logits = [model(inputs) for model in models]
        yield names, count.tolist(), logits


def log_posteriors(
    models: Sequence[AcousticModel],
    store: FrameStore,
    ids: Sequence[str] | None = None,
    temperature: float = 1.0,
    precision: str = "auto",
) -> Iterator[tuple[str, Tensor]]:
    """For each utterance its id and the log of the members' mean posterior: (T, C) float32 on the CPU.

    The arguments and errors are those of `posteriors`. No value is below log 1e-30.
    """
    for name, (mean,) in posteriors(models, store, ids, [temperature], precision):
        yield name, mean.clamp(min=1e-30).log()


def in_blocks(store: FrameStore, ids: Sequence[str]) -> Iterator[list[str]]:
    """The utterances, in order, in groups of at least BLOCK frames (the last one may have fewer): what is computed at
    once."""
    block: list[str] = []
    frames = 0
    for name in ids:
        block.append(name)
        frames += int(store.counts[store.index[name]])
        if frames >= BLOCK:
            yield block
            block, frames = [], 0
    if block:
        yield block
