"""Batches of which one half comes from the frames of some pdfs and the other from all other frames.

So a specialist is trained (Hinton, Vinyals and Dean 2015, section 5.2): the frames of its cluster, few among all, make
up half of what it sees.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from asrkd.config import TrainConfig
from asrkd.train.data import FrameData
from asrkd.train.order import positions_of_batches, positions_of_steps, seed_of, steps_of_epoch


class Halves(NamedTuple):
    cluster: FrameData
    rest: FrameData

    @property
    def sampling_ratio(self) -> float:
        """How many times more often than a frame of the rest a frame of the cluster is drawn: both halves are as
        large."""
        return len(self.rest) / len(self.cluster)


def steps_of_halves(halves: Halves, config: TrainConfig) -> tuple[int, int]:
    """(steps, frames a step) of an epoch, which passes over the frames of the cluster, as often as it takes to half of
    `config.epoch_frames`, and takes as many others.

    Where the batch size is odd a step has a frame less.
    """
    steps, half = steps_of_epoch(len(halves.cluster), _half(config))
    return steps, 2 * half


def positions_of_halves(halves: Halves, config: TrainConfig, seed: int, epoch: int, steps: range) -> Tensor:
    """The frames of these steps of an epoch, as positions in the FrameStore: (steps, B), by turns of the cluster and of
    the rest, so that each of several processes, and each of several speeds, has its share of both."""
    _, half = steps_of_epoch(len(halves.cluster), _half(config))
    cluster = positions_of_steps(halves.cluster, _half(config), seed, epoch, steps)  # (steps, B / 2)
    rest = positions_of_batches(halves.rest, half, seed_of(seed, 1), epoch, steps)
    return torch.stack([cluster, rest], 2).flatten(1)


def balanced(data: FrameData, dustbin: int) -> Tensor:
    """The numbers of all frames of a class below `dustbin`, and of as many others, evenly spread; sorted.

    Empty where there is none of the former.
    """
    numbers = torch.arange(len(data))
    inside = data.labels_of(data.positions(numbers)) < dustbin
    cluster, others = numbers[inside], numbers[~inside]
    places = torch.linspace(0, len(others) - 1, min(len(cluster), len(others))).round().long()
    return torch.cat([cluster, others[places]]).sort().values


def _half(config: TrainConfig) -> TrainConfig:
    return replace(config, batch_size=max(1, config.batch_size // 2), epoch_frames=-(-config.epoch_frames // 2))
