"""What the loss refuses. Shapes and types are always checked, values where that waits for no device or is asked for."""

import math

import torch
from torch import Tensor

from asrkd.distill.targets import TAILS, Tail

SUM_WITHIN = 0.01  # of 1; float16 probabilities of many pdfs are off by some thousandths
BELOW_ZERO = 1e-5  # what rounding may leave of a tail of 1 - probs.sum()


def upcast(logits: Tensor) -> Tensor:
    """Half precision as float32."""
    if not logits.is_floating_point() or logits.ndim == 0:
        raise ValueError(f"expected logits (..., C) of floats, found {logits.dtype} of shape {tuple(logits.shape)}")
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"expected a finite temperature above 0, found {temperature}")


def check_same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        raise ValueError(f"expected {name} of shape {tuple(expected)} to fit the {other}, found {tuple(shape)}")


def check_mask(mask: Tensor, frames: tuple[int, ...]) -> None:
    """frames: the logits' shape without the pdfs."""
    check_same_shape("mask", mask.shape, "logits", frames)
    if mask.dtype != torch.bool:
        raise ValueError(f"expected a mask of torch.bool, True where the frame counts, found {mask.dtype}")


def check_integers(name: str, values: Tensor) -> None:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"expected {name} of integers, found {values.dtype}")


def check_tail(tail: Tail) -> None:
    if isinstance(tail, str) and tail in TAILS:
        return
    if not isinstance(tail, Tensor) or tail.ndim != 1:
        found = f"a tensor of shape {tuple(tail.shape)}" if isinstance(tail, Tensor) else repr(tail)
        raise ValueError(f"expected tail to be {', '.join(TAILS)} or a tensor (C,), found {found}")


def check_tail_values(tail: Tensor, validate: bool) -> None:
    if _looked_at(validate, tail) and not (bool((tail >= 0).all()) and 0 < float(tail.sum()) < math.inf):
        raise ValueError(
            f"expected a tail of shares of at least 0, not all of them 0, found {tail.min()} as the lowest and "
            f"{tail.sum()} as the sum"
        )


def check_top_k(ids: tuple[int, ...], probs: tuple[int, ...], tail: tuple[int, ...], logits: tuple[int, ...]) -> None:
    """The shapes of SoftTargets against the logits'."""
    k = ids[-1] if ids else 0
    check_same_shape("ids", ids, "logits", (*logits[:-1], k))
    check_same_shape("probs", probs, "ids", ids)
    check_same_shape("tail", tail, "logits", logits[:-1])
    if k > logits[-1]:
        raise ValueError(f"expected at most the logits' {logits[-1]} pdfs a frame, found {k} ids")


def check_labels(labels: Tensor, num_pdfs: int, validate: bool) -> None:
    if labels.numel() and _looked_at(validate, labels):
        _check_range("labels", labels, num_pdfs)


def check_ids(ids: Tensor, probs: Tensor, tail: Tensor, num_pdfs: int, mask: Tensor | None, validate: bool) -> None:
    """The values of SoftTargets; those of masked frames are 0 already."""
    if not ids.numel() or not _looked_at(validate, ids, probs, tail, mask):
        return
    _check_range("ids", ids, num_pdfs)
    _check_distribution("probs and tail", torch.minimum(probs.amin(-1), tail), probs.sum(-1) + tail, mask)
    if validate:
        sorted_ids = ids.sort(-1).values  # (..., k)
        twice = (sorted_ids.diff(dim=-1) == 0).any(-1)
        twice = twice if mask is None else twice & mask
        if bool(twice.any()):
            raise ValueError(f"expected no pdf twice in a frame, found ids {ids[twice][0].tolist()}")


def check_dense(probs: Tensor, mask: Tensor | None, validate: bool) -> None:
    """Those of masked frames are 0 already."""
    if probs.numel() and _looked_at(validate, probs, mask):
        _check_distribution("targets", probs.amin(-1), probs.sum(-1), mask)


def may_be_masked(logits: Tensor) -> bool:
    """Whether a class may have a logit of -inf: looked for where values are looked at, else taken for granted."""
    return logits.numel() > 0 and not (_looked_at(False, logits) and bool(logits.detach().amin() > -torch.inf))


def _looked_at(validate: bool, *tensors: Tensor | None) -> bool:
    """Whether to look at values: where asked for, else where they are there without a wait, on a CPU and not compiled.

    Raises ValueError when asked for under torch.func's transforms, which hide them.
    """
    if torch.compiler.is_compiling():
        return validate
    given = [tensor for tensor in tensors if tensor is not None]
    if any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in given):
        if validate:
            raise ValueError("expected validate=False under torch.func's transforms, which hide the values; found True")
        return False
    return validate or all(tensor.device.type == "cpu" for tensor in given)


def _check_range(name: str, values: Tensor, num_pdfs: int) -> None:
    lowest, highest = (int(value) for value in values.aminmax())
    if lowest < 0 or highest >= num_pdfs:
        raise ValueError(f"expected {name} from 0 to {num_pdfs - 1}, found {lowest if lowest < 0 else highest}")


def _check_distribution(name: str, lowest: Tensor, total: Tensor, mask: Tensor | None) -> None:
    """lowest, total: (...), of each frame."""
    wrong = ~((lowest >= -BELOW_ZERO) & ((total - 1).abs() < SUM_WITHIN))  # NaN is wrong
    wrong = wrong if mask is None else wrong & mask
    if bool(wrong.any()):
        raise ValueError(
            f"expected {name} of at least 0 with a sum of 1 in each frame, "
            f"found {float(lowest[wrong][0])} as the lowest and {float(total[wrong][0])} as the sum"
        )
