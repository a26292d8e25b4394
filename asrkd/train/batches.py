"""The batches of the training loop: inputs, labels and soft targets of this process's frames, on the device."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from asrkd.distill.targets import SoftTargets
from asrkd.train import ranks
from asrkd.train.data import FrameData


class Targets(Protocol):
    """A `SoftTargetStore`, or what gives targets of other classes out of one."""

    def gather(self, frame_index: Tensor) -> SoftTargets | Tensor: ...


class Batch(NamedTuple):
    inputs: Tensor  # (B, window * mel) of the stored type
    labels: Tensor  # (B,) int64
    targets: SoftTargets | Tensor | None
    counts: list[int]  # frames at each of train.speeds

    def to(self, device: torch.device) -> "Batch":
        targets = None if self.targets is None else self.targets.to(device)
        return self._replace(
            inputs=self.inputs.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            targets=targets,
        )


def batches(
    data: FrameData, targets: Sequence[Targets], positions: Tensor, speeds: int, device: torch.device
) -> Iterator[Batch]:
    """The batch of each row of `positions` (steps, B), or this process's share of it, on the device.

    targets: those of each speed; none without soft targets. For a GPU the next batch is gathered and copied while the
    present one is computed.
    """

    def load(row: Tensor) -> Batch:
        own = ranks.share(row)
        speed = ranks.share(torch.arange(len(row)) * speeds // len(row))
        counts = torch.bincount(speed, minlength=speeds).tolist()
        batch = Batch(*data.batch(own), _gathered(targets, own.split(counts)), counts)
        return batch.to(device) if device.type == "cpu" else _pinned(batch)

    if device.type == "cpu":
        yield from map(load, positions)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(load, positions[0])
        for row in positions[1:]:
            ready, waiting = waiting.result(), thread.submit(load, row)
            yield ready.to(device)
        yield waiting.result().to(device)


def _gathered(targets: Sequence[Targets], positions: Sequence[Tensor]) -> SoftTargets | Tensor | None:
    """Those of the frames at each speed, one after the other."""
    if not targets:
        return None
    parts = [own.gather(frames) for own, frames in zip(targets, positions, strict=True)]
    if len(parts) == 1:
        return parts[0]
    sparse = [part for part in parts if isinstance(part, SoftTargets)]
    if sparse:
        return SoftTargets(*map(torch.cat, zip(*sparse, strict=True)))
    return torch.cat([part for part in parts if isinstance(part, Tensor)])


def _pinned(batch: Batch) -> Batch:
    """In memory that a GPU copies from while the processor works on."""
    inputs, labels, targets, counts = batch
    if isinstance(targets, SoftTargets):
        targets = SoftTargets(*(tensor.pin_memory() for tensor in targets))
    elif targets is not None:
        targets = targets.pin_memory()
    return Batch(inputs.pin_memory(), labels.pin_memory(), targets, counts)
