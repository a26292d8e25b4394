"""What nets make of images: errors by digit, before and after a bias correction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkd.mnist.bias import best_offset, shifted
from asrkd.mnist.digits import CLASSES
from asrkd.models.dnn import load_model
from asrkd.train.data import FrameData
from asrkd.train.device import autocast

BLOCK = 4096  # images that are computed at once


def net_errors(exp: Path, name: str, precision: str) -> dict[str, Any]:
    """Errors on the test images: in all, and of each digit."""
    logits, labels = net_logits(exp, name, "test", precision)
    return count(logits, labels)


def correction(exp: Path, name: str, classes: Sequence[int], precision: str) -> dict[str, Any]:
    """Test errors with the offset for the logits of `classes` that suits the test images best, which is what the paper
    has, and with the one that suits the training images best, those too that the net was not trained on."""
    logits, labels = net_logits(exp, name, "test", precision)
    found = {}
    for split in ("test", "train"):
        offset = best_offset(*net_logits(exp, name, split, precision), classes)
        found[split] = {"offset": offset, **count(shifted(logits, classes, offset), labels)}
    return found


@torch.inference_mode()
def net_logits(exp: Path, name: str, split: str, precision: str) -> tuple[Tensor, Tensor]:
    """Logits (N, 10) float32 of a net for the images of a split, and their digits (N,)."""
    model, _ = load_model(exp / "models" / name)
    data = FrameData.open(exp / "features" / split, exp / "align" / split, model.config)
    logits, labels = [], []
    for positions in data.positions(torch.arange(len(data))).split(BLOCK):
        images, digits = data.batch(positions)
        with autocast(images.device, precision):
            logits.append(model(images.float()).float())
        labels.append(digits)
    return torch.cat(logits), torch.cat(labels)


def count(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    wrong = logits.argmax(1) != labels
    by_digit = labels[wrong].bincount(minlength=CLASSES).tolist()
    return {"images": len(labels), "errors": int(wrong.sum()), "errors_by_digit": by_digit}
