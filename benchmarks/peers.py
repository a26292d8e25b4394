"""The same training as a user would write it in plain torch, and in SpeechBrain."""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from asrkd.config import ModelConfig, TrainConfig
from asrkd.models.dnn import AcousticModel
from asrkd.train.data import FrameData
from asrkd.train.device import autocast, computes_bfloat16
from asrkd.train.loop import evaluate

BATCH = TrainConfig().batch_size
CPU = torch.device("cpu")


class SplicedFrames(Dataset[tuple[Tensor, Tensor]]):
    """An item a labelled frame."""

    def __init__(self, data: FrameData) -> None:
        self.data = data
        self.positions = data.positions(torch.arange(len(data)))
        self.utterances = data.utterance_of(self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        data, position, utterance = self.data, int(self.positions[number]), int(self.utterances[number])
        window = torch.arange(position - data.left, position + data.right + 1)
        window = window.clamp(int(data.first[utterance]), int(data.last[utterance]))
        return data.frames[window].flatten().float(), data.labels[position].long() & 0xFFFF


def loader(data: FrameData, frames: int) -> DataLoader[tuple[Tensor, Tensor]]:
    chosen: Dataset[tuple[Tensor, Tensor]] = Subset(SplicedFrames(data), range(frames))
    return DataLoader(chosen, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)


def new_model(data: FrameData, pdfs: int) -> AcousticModel:
    model = AcousticModel(data.num_mel, pdfs, ModelConfig(dropout=0.0))
    model.initialise(0)
    return model


def loader_epoch(
    data: FrameData, pdfs: int, frames: int, dev: FrameData | None = None, learning_rate: float = 0.01
) -> tuple[float, float]:
    """(frames a second, dev frame accuracy) of torch's own tutorial loop."""
    model = new_model(data, pdfs)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    begun = time.perf_counter()
    model.train()
    for inputs, labels in loader(data, frames):
        with autocast(CPU, "auto"):
            loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rate = frames / (time.perf_counter() - begun)
    return rate, evaluate(model, dev, "float32")[0] if dev is not None else 0.0


def brain_epoch(
    data: FrameData, pdfs: int, frames: int, dev: FrameData | None = None, learning_rate: float = 0.01
) -> tuple[float, float]:
    """(frames a second, dev frame accuracy) of SpeechBrain's loop."""
    try:
        from speechbrain.core import Brain, Stage
    except ImportError:
        raise SystemExit("this comparison needs SpeechBrain: pip install speechbrain") from None

    class FrameClassifier(Brain):  # type: ignore[misc]  # it has no types
        def compute_forward(self, batch: list[Tensor], stage: Stage) -> Tensor:
            return self.modules.model(batch[0].to(self.device))

        def compute_objectives(self, predictions: Tensor, batch: list[Tensor], stage: Stage) -> Tensor:
            return F.cross_entropy(predictions, batch[1].to(self.device))

    model = new_model(data, pdfs)
    precision = "bf16" if computes_bfloat16(CPU) else "fp32"

    def optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9)

    brain = FrameClassifier({"model": model}, optimizer, run_opts={"device": "cpu", "precision": precision})
    begun = time.perf_counter()
    brain.fit(range(1), loader(data, frames), progressbar=False)
    rate = frames / (time.perf_counter() - begun)
    return rate, evaluate(model, dev, "float32")[0] if dev is not None else 0.0
