"""The one training loop: a member, a student and a limited-data model differ in their loss, their frames and their
seed."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from asrkd.config import ModelConfig, TrainConfig
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.experiment import replacing, write_jsonl
from asrkd.models.dnn import AcousticModel, load_model, save_model
from asrkd.progress import duration
from asrkd.train.data import FrameData
from asrkd.train.device import autocast

CHECKPOINT = "checkpoint.safetensors"
CURVES = "curves.jsonl"
SECONDS_BETWEEN_CHECKPOINTS = 60.0
STEPS_BETWEEN_CHECKS = 50  # of the loss; each waits for the device
DEV_BATCH = 4096  # frames
TRAIN_SAMPLE = 100_000  # frames that the accuracy on the training set is measured on


@dataclass
class State:
    """All that a resumed training needs beside weights and momentum."""

    learning_rate: float
    epoch: int = 0  # done
    step: int = 0  # done in the epoch under way
    halvings: int = 0
    best_accuracy: float = -1.0  # on dev, percent; below any
    finished: bool = False
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # over the steps: soft, hard, total loss; frames right
    seconds: float = 0.0  # in the epoch under way
    curves: list[dict[str, Any]] = field(default_factory=list)


def train_model(
    folder: Path,
    train: FrameData,
    dev: FrameData,
    loss: DistillationLoss,
    targets: SoftTargetStore | None,
    *,
    num_pdfs: int,
    model_config: ModelConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    card: Mapping[str, Any],
) -> None:
    """Train a net into `folder`: model.safetensors and card.json of the epoch that is best on dev, and curves.jsonl.

    targets: soft targets of the training frames; None when the loss has hard_weight 1. card: what the model's card
    tells beside its shape and training. A call that was killed goes on from its last checkpoint, and its weights come
    out the same to the bit. Raises UserError when the loss is no longer finite.
    """
    name = folder.name
    model = AcousticModel(train.num_mel, num_pdfs, model_config)
    model.initialise(seed)
    model.to(device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )
    state = _load_checkpoint(folder / CHECKPOINT, model, optimizer) or State(config.learning_rate)
    board = SummaryWriter(str(folder), purge_step=state.epoch + 1)

    while not state.finished:
        order = _order(train.usable, config, seed, state.epoch)  # (steps, B)
        steps, frames = len(order), order.numel()
        optimizer.param_groups[0]["lr"] = state.learning_rate
        model.train()
        pending: list[Tensor] = []
        began = time.monotonic() - state.seconds
        saved = time.monotonic()
        while state.step < steps:
            positions = order[state.step]  # (B,)
            inputs, labels = (tensor.to(device, non_blocking=True) for tensor in train.batch(positions))
            soft_targets = targets.gather(positions).to(device) if targets is not None else None
            if model_config.dropout > 0:
                # Its noise follows from seed, epoch and step, so that a resumed run repeats it.
                torch.manual_seed(_seed(seed, state.epoch, state.step))
            with autocast(device, config.precision):
                logits = model(inputs.float())  # (B, C)
            terms = loss.terms(logits, soft_targets, labels)
            optimizer.zero_grad()
            terms.total.backward()
            optimizer.step()
            right = (logits.detach().float().argmax(1) == labels).sum()
            pending.append(torch.stack([terms.soft, terms.hard, terms.total, right]).detach())
            state.step += 1

            if len(pending) == STEPS_BETWEEN_CHECKS or state.step == steps:
                _add_up(state, pending, order, train, folder)
                now = time.monotonic()
                state.seconds = now - began
                if now - saved >= SECONDS_BETWEEN_CHECKPOINTS and state.step < steps:
                    _save_checkpoint(folder / CHECKPOINT, model, optimizer, state)
                    saved = now
                    rate = state.step * config.batch_size / state.seconds
                    left = duration((steps - state.step) * config.batch_size / rate)
                    print(f"{name} epoch {state.epoch + 1}: {state.step}/{steps} batches, {left} left", flush=True)

        dev_accuracy, dev_entropy = evaluate(model, dev, config.precision)
        soft, hard, _, right = state.sums
        curve = {
            "epoch": state.epoch + 1,
            "learning_rate": state.learning_rate,
            "train_loss_soft": soft / steps if loss.hard_weight < 1 else None,
            "train_loss_hard": hard / steps if loss.hard_weight > 0 else None,
            "train_accuracy": 100 * right / frames,
            "dev_accuracy": dev_accuracy,
            "dev_cross_entropy": dev_entropy,
            "frames_per_second": round(frames / state.seconds),
            "seconds": round(time.monotonic() - began, 1),
        }
        state.curves.append(curve)
        write_jsonl(folder / CURVES, state.curves)
        _show(name, curve, board)

        gain = dev_accuracy - state.best_accuracy
        if gain > 0:
            state.best_accuracy = dev_accuracy
            training = {"seed": seed, "hard_weight": loss.hard_weight, "temperature": loss.temperature}
            result = {key: curve[key] for key in ("epoch", "dev_accuracy", "dev_cross_entropy")}
            save_model(folder, model, {**card, **training, "train": asdict(config), **result})
        # Once begun, each epoch halves: Kaldi's and QuickNet's newbob.
        if gain < config.halve_below or state.halvings > 0:
            state.learning_rate /= 2
            state.halvings += 1
        state.epoch += 1
        state.finished = state.halvings > config.halvings or state.epoch == config.max_epochs
        state.step, state.seconds, state.sums = 0, 0.0, [0.0] * 4
        _save_checkpoint(folder / CHECKPOINT, model, optimizer, state)
    board.close()

    model, best = load_model(folder)
    model.to(device)
    # The curve's train accuracy is of weights on the move; this one is of the model that is kept.
    accuracy, _ = evaluate(model, replace(train, usable=_sample(train.usable, TRAIN_SAMPLE, seed)), config.precision)
    save_model(folder, model, {**best, "train_accuracy": accuracy})


@torch.inference_mode()
def evaluate(model: AcousticModel, data: FrameData, precision: str = "auto") -> tuple[float, float]:
    """Frame accuracy in percent and cross-entropy in nats over the labelled frames; leaves the model in evaluation
    mode."""
    model.eval()
    device = next(model.parameters()).device
    right = torch.zeros((), dtype=torch.int64, device=device)
    entropy = torch.zeros((), dtype=torch.float64, device=device)
    for positions in data.usable.split(DEV_BATCH):
        inputs, labels = (tensor.to(device, non_blocking=True) for tensor in data.batch(positions))
        with autocast(device, precision):
            logits = model(inputs.float())  # (B, C)
        right += (logits.argmax(1) == labels).sum()
        entropy += F.cross_entropy(logits.float(), labels, reduction="sum")
    count = len(data.usable)
    return 100 * int(right) / count, float(entropy) / count


def _order(usable: Tensor, config: TrainConfig, seed: int, epoch: int) -> Tensor:
    """The frames of each step of an epoch: (steps, B).

    The frames are shuffled and passed once, or as often as it takes to reach `epoch_frames`. What does not fill the
    last batch waits for another epoch.
    """
    generator = torch.Generator().manual_seed(_seed(seed, epoch, 0))
    passes = math.ceil(min(config.epoch_frames / len(usable), 1e6)) or 1
    order = torch.cat([torch.randperm(len(usable), generator=generator) for _ in range(passes)])
    batch = min(config.batch_size, len(order))
    steps = len(order) // batch
    return usable[order[: steps * batch]].view(steps, batch)


def _sample(usable: Tensor, count: int, seed: int) -> Tensor:
    order = torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))
    return usable[order[:count].sort().values]


def _seed(seed: int, epoch: int, step: int) -> int:
    return ((seed * 10_007 + epoch) * 10_000_019 + step) % 2**63


def _add_up(state: State, pending: list[Tensor], order: Tensor, train: FrameData, folder: Path) -> None:
    """Move what the last steps lost into the state. Raises UserError for the first loss that is not finite."""
    values = torch.stack(pending).tolist()
    pending.clear()
    for step, losses in enumerate(values, state.step - len(values)):
        if not math.isfinite(losses[2]):
            utterances = [train.ids[u] for u in train.utterance_of(order[step]).unique().tolist()]
            raise UserError(
                f"{folder}: the loss is {losses[2]} in epoch {state.epoch + 1}, step {step + 1}; the last checkpoint "
                f"is kept. Lower train.learning_rate, or look for damaged features among the {len(utterances)} "
                f"utterances of its batch: {' '.join(utterances)}"
            )
        state.sums = [total + loss for total, loss in zip(state.sums, losses, strict=True)]


def _show(name: str, curve: Mapping[str, Any], board: SummaryWriter) -> None:
    for key, value in curve.items():
        if key != "epoch" and value is not None:
            board.add_scalar(key, value, curve["epoch"])
    board.flush()
    print(
        f"{name} epoch {curve['epoch']}: train {curve['train_accuracy']:.1f} dev {curve['dev_accuracy']:.2f} % "
        f"of frames, dev cross-entropy {curve['dev_cross_entropy']:.3f}, rate {curve['learning_rate']:.4g}, "
        f"{curve['frames_per_second'] / 1000:.1f}k frames/s, {duration(curve['seconds'])}",
        flush=True,
    )


def _save_checkpoint(path: Path, model: AcousticModel, optimizer: torch.optim.SGD, state: State) -> None:
    """One file for tensors and counters, so that they cannot be of two moments."""
    tensors = {}
    for name, weight in model.named_parameters():
        tensors[f"weight.{name}"] = weight.detach().cpu()
        momentum = optimizer.state[weight].get("momentum_buffer")
        if momentum is not None:  # train.momentum=0 has none
            tensors[f"momentum.{name}"] = momentum.cpu()
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"state": json.dumps(asdict(state))})


def _load_checkpoint(path: Path, model: AcousticModel, optimizer: torch.optim.SGD) -> State | None:
    """Set model and optimizer back to a checkpoint. Raises UserError when it is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file, torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(file.get_tensor(f"weight.{name}"))
                if f"momentum.{name}" in file.keys():  # noqa: SIM118 (a safetensors file, not a mapping)
                    optimizer.state[weight]["momentum_buffer"] = file.get_tensor(f"momentum.{name}").to(weight.device)
            state = State(**json.loads(file.metadata()["state"]))
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}); delete {path.parent} to train the model again") from None
    print(f"{path.parent.name}: resumed in epoch {state.epoch + 1} after {state.step} batches", flush=True)
    return state
