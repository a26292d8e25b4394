"""The shuffle: each frame once a pass, in no order, and the same from any step on."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.config import Config
from asrkd.train.data import FrameData
from asrkd.train.order import permuted, positions_of_steps, seed_of, steps_of_epoch


@given(count=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_it_is_a_permutation(count: int, seed: int) -> None:
    assert permuted(torch.arange(count), count, seed).sort().values.tolist() == list(range(count))


def test_large_numbers_stay_in_range_and_apart() -> None:
    count = 3_600_000_000  # frames of 10,000 hours
    found = permuted(torch.arange(count - 100_000, count), count, 1)
    assert int(found.min()) >= 0 and int(found.max()) < count
    assert len(found.unique()) == 100_000


@pytest.mark.parametrize("count", [4097, 8191, 970_000])
def test_it_looks_random(count: int) -> None:
    """The mean and the correlations of a random permutation, within five standard deviations."""
    found = permuted(torch.arange(count), count, 3).double() / count
    other = permuted(torch.arange(count), count, 4).double() / count
    for pair in ([found, torch.arange(count).double()], [found[1:], found[:-1]], [found, other]):
        assert abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < 5 / count**0.5
    # Neighbours are as far apart as two random numbers: 1/3 in the mean, with a standard deviation of 1/18 ** 0.5.
    assert abs(float((found[1:] - found[:-1]).abs().mean()) - 1 / 3) < 5 / (18 * count) ** 0.5
    # A batch takes from everywhere: chi-squared of 512 numbers in 16 bins, 15 degrees of freedom.
    bins = torch.histc(found[:512], 16, 0, 1)
    assert float(((bins - 32) ** 2 / 32).sum()) < 50


def test_all_orders_of_four_come_up() -> None:
    orders = [tuple(permuted(torch.arange(4), 4, seed_of(seed, 0, 0)).tolist()) for seed in range(480)]
    assert len(set(orders)) == 24
    assert max(orders.count(order) for order in set(orders)) < 50  # 20 are expected


def test_an_epoch_passes_over_all_frames(exp: Path, config: Config) -> None:
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    every = data.positions(torch.arange(len(data)))
    config.train.batch_size = 32
    config.train.epoch_frames = 0
    steps, batch = steps_of_epoch(len(data), config.train)
    assert (steps, batch) == (len(data) // 32, 32)
    whole = positions_of_steps(data, config.train, 1, 0, range(steps))
    assert len(whole.unique()) == whole.numel() == steps * 32
    assert set(whole.flatten().tolist()) <= set(every.tolist())
    # From any step on it goes on as it would have; another epoch and another seed have another order.
    assert torch.equal(positions_of_steps(data, config.train, 1, 0, range(7, steps)), whole[7:])
    assert not torch.equal(positions_of_steps(data, config.train, 1, 1, range(steps)), whole)
    assert not torch.equal(positions_of_steps(data, config.train, 2, 0, range(steps)), whole)

    config.train.batch_size = len(data)  # so that no frame waits
    config.train.epoch_frames = 2 * len(data) + 1  # three passes are the first to reach it
    assert steps_of_epoch(len(data), config.train) == (3, len(data))
    passes = positions_of_steps(data, config.train, 1, 0, range(3))
    assert all(torch.equal(own.sort().values, every) for own in passes)
    assert not torch.equal(passes[0], passes[1])

    config.train.batch_size = 10**6
    config.train.epoch_frames = 0
    assert steps_of_epoch(len(data), config.train) == (1, len(data))
