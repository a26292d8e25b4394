"""Which frames make up a batch: a shuffle that is computed where it is needed and stored nowhere."""

import torch
from torch import Tensor

from asrkd.config import TrainConfig
from asrkd.train.data import FrameData

ROUNDS = 6


def steps_of_epoch(frames: int, config: TrainConfig) -> tuple[int, int]:
    """(steps, frames a step) of an epoch over that many frames.

    The frames are passed once, or as often as it takes to reach `epoch_frames`. What does not fill the last batch waits
    for another epoch.
    """
    passes = -(-config.epoch_frames // frames) or 1
    batch = min(config.batch_size, passes * frames)
    return passes * frames // batch, batch


def positions_of_steps(data: FrameData, config: TrainConfig, seed: int, epoch: int, steps: range) -> Tensor:
    """The frames of these steps of an epoch, as positions in the FrameStore: (steps, B).

    Each pass over the data has an order of its own.
    """
    _, batch = steps_of_epoch(len(data), config)
    return positions_of_batches(data, batch, seed, epoch, steps)


def positions_of_batches(data: FrameData, batch: int, seed: int, epoch: int, steps: range) -> Tensor:
    """As `positions_of_steps`, for batches of a given size: (steps, batch)."""
    numbers = torch.arange(steps.start * batch, steps.stop * batch)
    passes, places = numbers // len(data), numbers % len(data)
    for number in range(int(passes[0]), int(passes[-1]) + 1):
        own = passes == number
        places[own] = permuted(places[own], len(data), seed_of(seed, epoch, number))
    return data.positions(places).view(len(steps), batch)


def permuted(numbers: Tensor, count: int, seed: int) -> Tensor:
    """Where a pseudo-random permutation of range(count) sends `numbers`, int64 of any shape.

    A list of billions of frames would not fit in memory, and each of several processes would hold one. A Feistel
    network permutes the least range of a power of two that holds `count`; what it sends outside is sent on until it
    comes back (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): at most every second step is such.
    """
    bits = max(2, (count - 1).bit_length())
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randint(2**31, (ROUNDS,), generator=generator).tolist()
    numbers = _feistel(numbers, bits, keys)
    outside = numbers >= count
    while outside.any():
        numbers[outside] = _feistel(numbers[outside], bits, keys)
        outside = numbers >= count
    return numbers


def seed_of(*numbers: int) -> int:
    """One seed of several numbers, such as seed, epoch and step."""
    seed = 0
    for number in numbers:
        seed = (seed * 6_364_136_223_846_793_005 + number + 1_442_695_040_888_963_407) % 2**63
    return seed


def _feistel(numbers: Tensor, bits: int, keys: list[int]) -> Tensor:
    low_bits = bits // 2
    low, high = numbers & (2**low_bits - 1), numbers >> low_bits
    low_mask, high_mask = 2**low_bits - 1, 2 ** (bits - low_bits) - 1
    for number, key in enumerate(keys):
        if number % 2:
            low = low ^ (_mixed(high ^ key) & low_mask)
        else:
            high = high ^ (_mixed(low ^ key) & high_mask)
    return (high << low_bits) | low


def _mixed(values: Tensor) -> Tensor:
    """Wellons' lowbias32, a hash of 32-bit values without a bias to speak of. Only the low bits of products count."""
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    values = ((values ^ (values >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return values ^ (values >> 16)
