"""Distilling in SpeechBrain: a Brain whose objective is the distillation loss.

    pip install '.[examples]'        (in a clone)
    python examples/speechbrain_brain.py

A teacher learns frame labels from a Brain of its own and is frozen; the student's Brain holds it and compares the
student with it on the frames that SpeechBrain's relative lengths leave.
"""

from functools import partial
from typing import Any

import speechbrain as sb
import torch
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.lobes.models.VanillaNN import VanillaNN
from speechbrain.nnet.linear import Linear
from torch import Tensor, nn

from asrkd import DistillationLoss, ensemble_posteriors

D, C = 20, 30  # features, classes


class DistillingBrain(sb.Brain):
    """Without a teacher it learns from the labels alone."""

    def __init__(self, student: nn.Module, teacher: nn.Module | None = None, temperature: float = 2.0) -> None:
        super().__init__({"student": student}, opt_class=partial(torch.optim.Adam, lr=0.01))
        # Beside the modules, not one of them: fit() sets those to training, dropout and all.
        self.teacher = None if teacher is None else teacher.eval().to(self.device)
        self.loss = DistillationLoss(temperature, hard_weight=1.0 if teacher is None else 0.5)
        self.losses: list[float] = []

    def compute_forward(self, batch: Any, stage: sb.Stage) -> tuple[Tensor, Tensor | None]:
        features, _ = batch.to(self.device).features  # (N, T, D)
        if self.teacher is None:
            return self.modules.student(features), None
        with torch.no_grad():
            targets = ensemble_posteriors([self.teacher(features)], self.loss.temperature)  # an ensemble of one
        return self.modules.student(features), targets

    def compute_objectives(self, predictions: tuple[Tensor, Tensor | None], batch: Any, stage: sb.Stage) -> Tensor:
        logits, targets = predictions
        labels, lengths = batch.labels  # (N, T), (N,): lengths as shares of T
        frames = (lengths * labels.shape[1]).round()  # a product just above a whole number would count a frame too many
        return self.loss(logits, targets, labels, length_to_mask(frames, labels.shape[1]).bool())

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        self.losses.append(stage_loss)


def made_up_data(n: int = 64) -> DynamicItemDataset:
    """Utterances of 25 to 50 frames that scatter about the mean of their class."""
    means = torch.randn(C, D)
    utterances = {}
    for i in range(n):
        labels = torch.randint(C, (int(torch.randint(25, 51, ())),))  # (T,)
        utterances[f"utterance {i}"] = {"features": means[labels] + torch.randn(len(labels), D), "labels": labels}
    return DynamicItemDataset(utterances, output_keys=["features", "labels"])


def net(width: int) -> nn.Module:
    return nn.Sequential(VanillaNN([None, None, D], dnn_blocks=1, dnn_neurons=width), Linear(C, input_size=width))


def train(epochs: int = 10) -> list[float]:
    """The mean loss of each epoch."""
    torch.manual_seed(0)
    data = made_up_data()
    teacher, student = net(width=128), net(width=16)
    settings = {"progressbar": False, "train_loader_kwargs": {"batch_size": 8}}
    DistillingBrain(teacher).fit(range(5), data, **settings)
    brain = DistillingBrain(student, teacher)
    brain.fit(range(epochs), data, **settings)
    return brain.losses


def main() -> None:
    losses = train()
    print(f"loss {losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in epoch {len(losses)}")


if __name__ == "__main__":
    main()
