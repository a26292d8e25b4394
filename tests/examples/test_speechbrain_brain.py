"""examples/speechbrain_brain.py learns, and its loss is the one written out here."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

Run = Callable[[Callable[[], None]], list[tuple[float, float]]]


@pytest.fixture(autouse=True)
def _speechbrain() -> None:
    pytest.importorskip("speechbrain", reason="the example needs SpeechBrain: pip install '.[examples]'")


def test_loss_written_out() -> None:
    import speechbrain as sb
    from speechbrain.dataio.batch import PaddedBatch

    from examples.speechbrain_brain import DistillingBrain, made_up_data, net

    torch.manual_seed(0)
    student, teacher = net(width=16), net(width=32)
    brain = DistillingBrain(student, teacher)
    utterances = list(made_up_data(n=64))
    batch = PaddedBatch(utterances)
    found = brain.compute_objectives(brain.compute_forward(batch, sb.Stage.TRAIN), batch, sb.Stage.TRAIN)
    frames = []
    for utterance in utterances:  # each on its own, without padding
        features, labels = utterance["features"].unsqueeze(0), utterance["labels"]
        z, v = student(features)[0], teacher(features)[0]  # (T, C)
        soft = F.cross_entropy(z / 2, (v / 2).softmax(-1), reduction="none")
        frames.append(0.5 * F.cross_entropy(z, labels, reduction="none") + 0.5 * 2**2 * soft)
    torch.testing.assert_close(found, torch.cat(frames).mean())


def test_it_learns() -> None:
    from examples.speechbrain_brain import train

    losses = train(epochs=5)
    assert len(losses) == 5
    assert losses[-1] < 0.8 * losses[0]


def test_main(run: Run) -> None:
    from examples.speechbrain_brain import main

    [(start, end)] = run(main)
    assert end < start
