"""The same training as a user would write it in plain torch, and in SpeechBrain."""

import time

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, Subset

from asrkd.config import ModelConfig, TrainConfig
from asrkd.models.dnn import AcousticModel
from asrkd.train.data import FrameData
from asrkd.train.device import autocast, computes_bfloat16
from asrkd.train.loop import evaluate, learning_rate

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


def new_optimizer(model: AcousticModel, config: TrainConfig) -> SGD:
    return SGD(model.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay)


def new_schedule(optimizer: SGD, config: TrainConfig, frames: int) -> LambdaLR:
    steps = frames // BATCH
    return LambdaLR(optimizer, lambda step: learning_rate(step / steps, config) / config.learning_rate)


def loader_epoch(
    data: FrameData, pdfs: int, frames: int, config: TrainConfig, dev: FrameData | None = None
) -> tuple[float, float]:
    """(frames a second, dev frame accuracy) of torch's own tutorial loop."""
    model = new_model(data, pdfs)
    optimizer = new_optimizer(model, config)
    schedule = new_schedule(optimizer, config, frames)
    begun = time.perf_counter()
    model.train()
    for inputs, labels in loader(data, frames):
        with autocast(CPU, "auto"):
            loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    rate = frames / (time.perf_counter() - begun)
    return rate, evaluate(model, dev, "float32")[0] if dev is not None else 0.0


def brain_epoch(
    data: FrameData, pdfs: int, frames: int, config: TrainConfig, dev: FrameData | None = None
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

        def on_fit_start(self) -> None:
            super().on_fit_start()
            self.schedule = new_schedule(self.optimizer, config, frames)

        def on_fit_batch_end(self, batch: list[Tensor], outputs: Tensor, loss: Tensor, should_step: bool) -> None:
            self.schedule.step()

    model = new_model(data, pdfs)
    run = {"device": "cpu", "precision": "bf16" if computes_bfloat16(CPU) else "fp32"}
    brain = FrameClassifier({"model": model}, lambda _: new_optimizer(model, config), run_opts=run)
    begun = time.perf_counter()
    brain.fit(range(1), loader(data, frames), progressbar=False)
    rate = frames / (time.perf_counter() - begun)
    return rate, evaluate(model, dev, "float32")[0] if dev is not None else 0.0
