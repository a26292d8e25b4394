"""Distilling an ensemble in plain PyTorch, with the soft targets in memory and on disk.

    pip install .        (in a clone)
    python examples/plain_pytorch.py

Three teachers learn to classify frames of made-up data and are frozen; a student of an eighth of their width learns
from the mean of their posteriors and from the labels, on the frames that are no padding.
"""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor, nn

from asrkd import DistillationLoss, SoftTargets, SoftTargetStore, ensemble_posteriors

N, T, D, C = 16, 50, 20, 30  # utterances, frames of the longest, features, classes
TEMPERATURE = 2.0
Batch = tuple[Tensor, Tensor | SoftTargets | None, Tensor, Tensor | None]  # features, targets, labels, mask


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(D, width), nn.ReLU(), nn.Linear(width, C))


def fit(model: nn.Module, loss: DistillationLoss, batches: Iterable[Batch]) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for features, targets, labels, mask in batches:
        total = loss(model(features), targets, labels, mask)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return losses


def made_up_data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features (N, T, D) about the mean of their class, the teachers' posteriors (N, T, C), labels and mask (N, T)."""
    torch.manual_seed(0)
    labels = torch.randint(C, (N, T))
    features = torch.randn(C, D)[labels] + torch.randn(N, T, D)
    mask = torch.arange(T) < torch.randint(T // 2, T + 1, (N, 1))
    teachers = [net(width=128) for _ in range(3)]
    for teacher in teachers:
        fit(teacher, DistillationLoss(hard_weight=1.0), repeat((features, None, labels, mask), 20))
    with torch.no_grad():
        return features, ensemble_posteriors([teacher(features) for teacher in teachers], TEMPERATURE), labels, mask


def train(steps: int = 100) -> list[float]:
    batch = made_up_data()
    return fit(net(width=16), DistillationLoss(TEMPERATURE), repeat(batch, steps))


def train_from_store(folder: Path, steps: int = 100) -> list[float]:
    """Keeps the five most probable classes of each frame on disk and gathers frames of any utterance from there."""
    features, targets, labels, mask = made_up_data()
    # In earnest the last three are hashes: open() refuses targets of other labels, features or temperature.
    with SoftTargetStore.create(
        folder,
        temperature=TEMPERATURE,
        num_pdfs=C,
        top_k=5,
        label_set="labels",
        features="features",
        members=["teacher 0", "teacher 1", "teacher 2"],
    ) as writer:
        for n in range(N):
            writer.add(f"utterance {n}", targets[n, mask[n]])
    store = SoftTargetStore.open(folder, temperature=TEMPERATURE, label_set="labels", features="features")
    features, labels = features[mask], labels[mask]  # (F, D), (F,): in the order in which the store has them

    def batches() -> Iterator[Batch]:
        for _ in range(steps):
            chosen = torch.randint(len(labels), (256,))
            yield features[chosen], store.gather(chosen), labels[chosen], None

    return fit(net(width=16), DistillationLoss(TEMPERATURE), batches())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, losses in (("in memory", train()), ("on disk", train_from_store(Path(folder)))):
            print(f"targets {name}: loss {losses[0]:.2f} at the start, {losses[-1]:.2f} after {len(losses)} steps")


if __name__ == "__main__":
    main()
