"""Batches of two halves: as many frames of each, no frame more often than its half gives, the same from any step on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asrkd.config import Config, TrainConfig
from asrkd.train.data import FrameData
from asrkd.train.halves import Halves, balanced, positions_of_halves, steps_of_halves

CLUSTER = [1, 3]


def open_data(exp: Path, config: Config, pdfs: list[int] | None = None) -> FrameData:
    return FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, pdfs=pdfs)


def open_halves(exp: Path, config: Config) -> Halves:
    return Halves(open_data(exp, config, CLUSTER), open_data(exp, config, [0, 2, 4]))


def test_the_ratio_is_that_of_the_draws(exp: Path, config: Config) -> None:
    """Counted over epochs of batches that leave no frame of the cluster over."""
    halves, data = open_halves(exp, config), open_data(exp, config)
    training = TrainConfig(batch_size=2 * len(halves.cluster), epoch_frames=0)
    assert len(halves.cluster) + len(halves.rest) == len(data)
    drawn = []
    for epoch in range(40):
        steps, batch = steps_of_halves(halves, training)
        assert (steps, batch) == (1, 2 * len(halves.cluster))
        drawn.append(positions_of_halves(halves, training, 3, epoch, range(steps)).flatten())
    inside = torch.isin(data.labels_of(torch.cat(drawn)), torch.tensor(CLUSTER))
    share = len(halves.cluster) / len(data)
    assert int(inside.sum()) * 2 == len(inside)
    often = (inside.double().mean() / share) / ((~inside).double().mean() / (1 - share))
    assert halves.sampling_ratio == pytest.approx(float(often), rel=1e-12)
    # Each frame of the cluster once an epoch; those of the rest as often as one another, within one an epoch.
    assert all(len(own.unique()) == len(own) for own in drawn) or len(halves.rest) < len(halves.cluster)
    counts = torch.cat(drawn)[inside].unique(return_counts=True)[1]
    assert counts.tolist() == [40] * len(halves.cluster)


def test_turns_and_resuming(exp: Path, config: Config) -> None:
    halves, data = open_halves(exp, config), open_data(exp, config)
    training = replace(config.train, batch_size=33)  # odd: a frame less
    steps, batch = steps_of_halves(halves, training)
    assert batch == 32
    whole = positions_of_halves(halves, training, 1, 0, range(steps))
    inside = torch.isin(data.labels_of(whole), torch.tensor(CLUSTER))
    assert inside[:, ::2].all() and not inside[:, 1::2].any()
    assert torch.equal(positions_of_halves(halves, training, 1, 0, range(5, steps)), whole[5:])
    for other in ((2, 0), (1, 1)):
        assert not torch.equal(positions_of_halves(halves, training, *other, range(steps)), whole)
    # At least as many frames as train.epoch_frames asks for, and not a pass more.
    assert training.epoch_frames - batch < steps * batch < training.epoch_frames + 2 * len(halves.cluster)


def test_frames_of_some_pdfs_against_a_plain_loop(exp: Path, config: Config) -> None:
    data, own = open_data(exp, config), open_data(exp, config, CLUSTER)
    every = data.positions(torch.arange(len(data))).tolist()
    labels = data.labels_of(torch.tensor(every)).tolist()
    expected = [position for position, label in zip(every, labels, strict=True) if label in CLUSTER]
    assert own.positions(torch.arange(len(own))).tolist() == expected


def test_classes_take_the_place_of_pdfs(exp: Path, config: Config) -> None:
    data = open_data(exp, config)
    classes = torch.tensor([2, 0, 2, 1, 2])
    positions = data.positions(torch.arange(50))
    pdfs = data.batch(positions)[1]
    assert torch.equal(replace(data, classes=classes).batch(positions)[1], classes[pdfs])


def test_balanced(exp: Path, config: Config) -> None:
    data = replace(open_data(exp, config), classes=torch.tensor([2, 0, 2, 1, 2]))
    numbers = balanced(data, 2)
    labels = data.labels_of(data.positions(numbers))
    assert len(numbers.unique()) == len(numbers)
    assert int((labels < 2).sum()) == int((labels == 2).sum()) == len(open_data(exp, config, CLUSTER))
    others = torch.arange(len(data))[data.labels_of(data.positions(torch.arange(len(data)))) == 2]
    places = torch.searchsorted(others, numbers[labels == 2])
    steps = places.diff()
    assert places[0] == 0 and places[-1] == len(others) - 1 and steps.max() - steps.min() <= 1  # evenly spread
    nothing = replace(data, classes=torch.full((5,), 2))
    assert len(balanced(nothing, 2)) == 0
