"""examples/plain_pytorch.py learns, and its loss is the one written out here."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch.nn import functional as F

from asrkd import DistillationLoss
from examples.plain_pytorch import fit, made_up_data, main, net, train, train_from_store

Run = Callable[[Callable[[], None]], list[tuple[float, float]]]


def test_loss_written_out() -> None:
    features, targets, labels, mask = made_up_data()
    student = net(width=16)
    z = student(features)  # (N, T, C)
    soft = F.cross_entropy((z / 2)[mask], targets[mask])
    hard = F.cross_entropy(z[mask], labels[mask])
    found = fit(student, DistillationLoss(2.0), [(features, targets, labels, mask)])
    assert found == [pytest.approx((0.5 * hard + 0.5 * 2**2 * soft).item())]


def test_it_learns(tmp_path: Path) -> None:
    for losses in (train(steps=50), train_from_store(tmp_path, steps=50)):
        assert len(losses) == 50
        assert losses[-1] < 0.8 * losses[0]


def test_main(run: Run) -> None:
    assert [end < start for start, end in run(main)] == [True, True]
