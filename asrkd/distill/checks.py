"""What the loss refuses. Shapes are always checked; values only where that waits for no device, or where asked for."""

import math

import torch
from torch import Tensor

SUM_WITHIN = 0.01  # of 1; float16 probabilities of many pdfs are off by some thousandths
BELOW_ZERO = 1e-5  # what rounding may leave of a tail of 1 - probs.sum()


def upcast(logits: Tensor) -> Tensor:
    """Half precision as float32."""
    if not logits.is_floating_point() or logits.ndim == 0:
        raise ValueError(f"expected logits (..., C) of floats, found {logits.dtype} of shape {tuple(logits.shape)}")
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"expected a temperature above 0, found {temperature}")


def check_same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        raise ValueError(f"expected {name} of shape {tuple(expected)} to fit the {other}, found {tuple(shape)}")


def check_top_k(ids: tuple[int, ...], probs: tuple[int, ...], tail: tuple[int, ...], logits: tuple[int, ...]) -> None:
    """The shapes of SoftTargets against the logits'."""
    k = ids[-1] if ids else 0
    check_same_shape("ids", ids, "logits", (*logits[:-1], k))
    check_same_shape("probs", probs, "ids", ids)
    check_same_shape("tail", tail, "logits", logits[:-1])
    if k > logits[-1]:
        raise ValueError(f"expected at most the logits' {logits[-1]} pdfs a frame, found {k} ids")


def check_labels(labels: Tensor, num_pdfs: int, validate: bool) -> None:
    if (validate or _cheap(labels)) and labels.numel():
        _check_range("labels", labels, num_pdfs)


def check_ids(ids: Tensor, probs: Tensor, tail: Tensor, num_pdfs: int, mask: Tensor | None, validate: bool) -> None:
    """The values of SoftTargets; those of masked frames are 0 already."""
    if not (validate or _cheap(ids)) or not ids.numel():
        return
    _check_range("ids", ids, num_pdfs)
    _check_distribution("probs and tail", torch.minimum(probs.amin(-1), tail), probs.sum(-1) + tail, mask)
    if validate:
        sorted_ids = ids.sort(-1).values  # (..., k)
        twice = (sorted_ids.diff(dim=-1) == 0).any(-1)
        twice = twice if mask is None else twice & mask
        if bool(twice.any()):
            raise ValueError(f"expected no pdf twice in a frame, found ids {ids[twice][0].tolist()}")


def check_dense(probs: Tensor, mask: Tensor | None) -> None:
    if probs.numel():
        _check_distribution("targets", probs.amin(-1), probs.sum(-1), mask)


def _cheap(tensor: Tensor) -> bool:
    """Whether its values can be looked at without a wait: on a CPU, neither compiled nor under torch.func's vmap."""
    return (
        tensor.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


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
