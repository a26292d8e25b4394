"""examples/transformers_ctc.py learns, and its loss is the one written out here."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

Run = Callable[[Callable[[], None]], list[tuple[float, float]]]


@pytest.fixture(autouse=True)
def _transformers() -> None:
    for name in ("transformers", "accelerate"):
        pytest.importorskip(name, reason=f"the example needs {name}: pip install '.[examples]'")


def test_loss_written_out(tmp_path: Path) -> None:
    from transformers import TrainingArguments, default_data_collator

    from examples.transformers_ctc import DistillingTrainer, made_up_data, recognizer

    torch.manual_seed(0)
    settings = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    student, teacher = recognizer(32, layers=1), recognizer(64, layers=2)
    trainer = DistillingTrainer(student, settings, teacher=teacher, temperature=3.0, hard_weight=0.4)
    inputs = default_data_collator(made_up_data(n=3))
    found, outputs = trainer.compute_loss(student, inputs, return_outputs=True)

    samples = inputs["attention_mask"].sum(1)
    frames = ((samples - 40) // 20 + 1 - 16) // 16 + 1  # (N,): two convolutions without padding
    assert frames.min() < frames.max() < outputs.logits.shape[1]
    z, v = outputs.logits, teacher(inputs["input_values"], inputs["attention_mask"]).logits  # (N, T, C)
    terms = [F.cross_entropy(z[i, :t] / 3, (v[i, :t] / 3).softmax(-1), reduction="sum") for i, t in enumerate(frames)]
    soft = torch.stack(terms).sum() / frames.sum()
    hard = F.ctc_loss(z.log_softmax(-1).transpose(0, 1), inputs["labels"], frames, torch.full((3,), 4))
    torch.testing.assert_close(found, 0.4 * hard + 0.6 * 3**2 * soft)
    assert torch.equal(trainer.compute_loss(student, inputs), found)


def test_it_learns(tmp_path: Path) -> None:
    from examples.transformers_ctc import train

    losses = train(str(tmp_path), steps=30)
    assert len(losses) == 30
    assert losses[-1] < 0.9 * losses[0]


def test_main(run: Run) -> None:
    from examples.transformers_ctc import main

    [(start, end)] = run(main)
    assert end < start
