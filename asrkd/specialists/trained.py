"""Trained specialists, and what they and the generalist say together of the frames of a FrameStore."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.models.dnn import CARD, AcousticModel, load_model
from asrkd.specialists.combine import GAP, Specialist, combine, dustbin_correction
from asrkd.train.forward import blocks_of_logits

LEAST = 1e-30  # a probability below it counts as it


class Trained(NamedTuple):
    """A specialist."""

    model: AcousticModel  # a logit a pdf of its cluster, and one for the dustbin
    pdfs: Tensor  # (S,) its cluster
    sampling_ratio: float  # of its training

    @staticmethod
    def load(folder: Path, device: torch.device) -> "Trained":
        """Raises UserError when the model is missing or damaged, or no specialist."""
        model, card = load_model(folder)
        try:
            return Trained(model.to(device), torch.tensor(card["cluster"]), float(card["sampling_ratio"]))
        except KeyError as error:
            raise UserError(
                f"{folder / CARD}: expected a specialist's card, found none of {error}; train it again "
                "(run.sh --stage 11)"
            ) from None


def load_all(exp: Path, models: Sequence[str], device: torch.device) -> tuple[AcousticModel, list[Trained]]:
    """The generalist, whose folder in the experiment is the first, and the specialists."""
    generalist = load_model(exp / models[0])[0].to(device)
    return generalist, [Trained.load(exp / name, device) for name in models[1:]]


class Said(NamedTuple):
    """Of an utterance, on the CPU."""

    generalist: Tensor  # (T, C) float32, posteriors
    combined: Tensor  # (T, C) float32
    unfinished: int  # frames whose descent ended before its minimum was sure


@torch.inference_mode()
def combined_posteriors(
    generalist: AcousticModel,
    specialists: Sequence[Trained],
    store: FrameStore,
    ids: Sequence[str],
    precision: str = "auto",
) -> Iterator[tuple[str, Said]]:
    """For each utterance what the generalist says and the q of equation 5, blocks of utterances at a time.

    The specialists have the generalist's window, and are where it is, CPU or GPU.
    """
    models = [generalist, *(specialist.model for specialist in specialists)]
    for names, counts, (logits, *own) in blocks_of_logits(models, store, ids, precision):
        corrected = [
            Specialist(specialist.pdfs, dustbin_correction(found, specialist.sampling_ratio))
            for specialist, found in zip(specialists, own, strict=True)
        ]
        q, gap = combine(logits, corrected)
        parts = (logits.float().softmax(1).cpu(), q.float().cpu(), (gap > GAP).cpu())
        split = (tensor.split_with_sizes(counts) for tensor in parts)
        for name, p, combined, unfinished in zip(names, *split, strict=True):
            yield name, Said(p, combined, int(unfinished.sum()))


def softened(probs: Tensor, temperature: float) -> Tensor:
    """softmax(z / T) of what softmax(z) is `probs` (..., C)."""
    return (probs.clamp(min=LEAST).log() / temperature).softmax(-1)
