"""examples/torchaudio_conformer.py learns, and its loss is the one written out here."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

Run = Callable[[Callable[[], None]], list[tuple[float, float]]]


@pytest.fixture(autouse=True)
def _torchaudio() -> None:
    pytest.importorskip("torchaudio", reason="the example needs torchaudio: pip install '.[examples]'")


def test_loss_written_out() -> None:
    from examples.torchaudio_conformer import HARD_WEIGHT, C, made_up_data, objective

    torch.manual_seed(0)
    features, lengths, tokens, counts = batch = made_up_data(n=4)
    z, v = torch.randn(2, *features.shape[:2], C)  # (N, T, C)
    terms = [F.cross_entropy(z[i, :t] / 2, (v[i, :t] / 2).softmax(-1), reduction="sum") for i, t in enumerate(lengths)]
    soft = torch.stack(terms).sum() / lengths.sum()
    hard = F.ctc_loss(z.log_softmax(-1).transpose(0, 1), tokens, lengths, counts)
    assert lengths.min() < lengths.max()
    torch.testing.assert_close(objective(z, None, batch), hard)
    torch.testing.assert_close(objective(z, v, batch), HARD_WEIGHT * hard + (1 - HARD_WEIGHT) * 2**2 * soft)


def test_it_learns() -> None:
    from examples.torchaudio_conformer import train

    losses = train(steps=40)
    assert len(losses) == 40
    assert losses[-1] < 0.8 * losses[0]


def test_main(run: Run) -> None:
    from examples.torchaudio_conformer import main

    [(start, end)] = run(main)
    assert end < start
