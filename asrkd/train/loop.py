"""The one training loop: a member, a student, a limited-data model and a specialist differ in their loss, their frames,
their start and their seed."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from asrkd.config import FeatureConfig, ModelConfig, TrainConfig
from asrkd.distill.loss import DistillationLoss
from asrkd.errors import UserError
from asrkd.files import write_jsonl
from asrkd.models.dnn import AcousticModel, limit_norms, load_model, save_model
from asrkd.progress import duration
from asrkd.torchrun import rank, world
from asrkd.train import ranks
from asrkd.train.batches import Batch, Targets, batches
from asrkd.train.checkpoint import CHECKPOINT, State, load_checkpoint, save_checkpoint
from asrkd.train.data import FrameData
from asrkd.train.device import autocast
from asrkd.train.halves import Halves, positions_of_halves, steps_of_halves
from asrkd.train.jitter import jittered
from asrkd.train.order import permuted, positions_of_steps, seed_of, steps_of_epoch
from asrkd.train.perturb import perturbed, reach, speed_warps

CURVES = "curves.jsonl"
SECONDS_BETWEEN_CHECKPOINTS = 60.0
STEPS_BETWEEN_CHECKS = 50  # of the loss; each waits for the device
DEV_BATCH = 4096  # frames
WARM_UP = 0.02  # of the training's steps
EXPLODED = 100.0  # times the loss of a guess: no training comes back from there
DAMAGED = "Features that are no numbers"
NAMED = 20  # utterances of an error; a batch of utterances of one frame has hundreds
TRAIN_SAMPLE = 100_000  # frames that the accuracy on the training set is measured on


def train_model(
    folder: Path,
    train: FrameData,
    dev: FrameData,
    loss: DistillationLoss,
    targets: Sequence[Targets],
    *,
    num_pdfs: int,
    model_config: ModelConfig,
    features: FeatureConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    card: Mapping[str, Any],
    compiled: bool = False,
    start: Mapping[str, Tensor] | None = None,
    halves: Halves | None = None,
    dev_numbers: Tensor | None = None,
) -> None:
    """Train a net into `folder`: model.safetensors and card.json of the epoch to keep, and curves.jsonl.

    targets: soft targets of the training frames, a store for each of the config's speeds; none when the loss has
    hard_weight 1. card: what the model's card tells beside its shape and training. compiled: the steps go through
    torch.compile. start: the weights to begin with; None draws them from the seed. halves: what batches are drawn from,
    of the frames of `train`; None is all of them. dev_numbers: the frames of dev to evaluate on; None is all.

    A call that was killed goes on from its last checkpoint, and its weights come out the same to the bit. Raises
    UserError when the loss is no longer finite.
    """
    name = folder.name
    model = AcousticModel(train.num_mel, num_pdfs, model_config)
    if start is None:
        model.initialise(seed)
    else:
        model.load_state_dict(start)
    model.to(device)
    optimizer = make_optimizer(model, config)
    warps = speed_warps(config.speeds, model_config, features, device)
    wide = replace(train, left=reach(train.left, config.speeds), right=reach(train.right, config.speeds))
    state = load_checkpoint(folder / CHECKPOINT, model, optimizer) or State()
    net: nn.Module = DistributedDataParallel(model) if world() > 1 else model
    if compiled:
        net.compile()
    first = rank() == 0
    board = SummaryWriter(str(folder), purge_step=state.epoch + 1) if first else None
    if halves is None:
        (steps, batch_size), draw = steps_of_epoch(len(train), config), partial(positions_of_steps, train)
    else:
        (steps, batch_size), draw = steps_of_halves(halves, config), partial(positions_of_halves, halves)
    # The loss of a net that gives every pdf the same probability.
    guess = math.log(num_pdfs) * (loss.hard_weight + (1 - loss.hard_weight) * loss.temperature**2)

    while state.epoch < config.epochs:
        model.train()
        began = time.monotonic() - state.seconds
        saved = time.monotonic()
        while state.step < steps:
            block = range(state.step, min(state.step + STEPS_BETWEEN_CHECKS, steps))
            positions = draw(config, seed, state.epoch, block)  # (steps, B)
            done = []
            for step, batch in zip(block, batches(wide, targets, positions, len(warps), device), strict=True):
                # Dropout and jitter follow from seed, epoch and step, so that a resumed run repeats them.
                torch.manual_seed(seed_of(seed, state.epoch, step, rank()))
                lr = learning_rate((state.epoch * steps + step) / (config.epochs * steps), config)
                optimizer.param_groups[0]["lr"] = lr
                inputs = perturbed(batch.inputs.float(), warps, batch.counts)
                batch = batch._replace(inputs=jittered(inputs, config.jitter))
                done.append(train_step(net, loss, optimizer, batch, config.precision, world() / batch_size))
                limit_norms(model, config.max_norm)
            state.step = block.stop
            losses = ranks.summed(torch.stack(done)).tolist()
            _check(losses, EXPLODED * guess, state, positions, train, folder)
            state.sums = [sum(column, start) for start, *column in zip(state.sums, *losses, strict=True)]

            now = time.monotonic()
            state.seconds = now - began
            if now - saved >= SECONDS_BETWEEN_CHECKPOINTS and state.step < steps and first:
                save_checkpoint(folder / CHECKPOINT, model, optimizer, state)
                saved = now
                left = duration((steps - state.step) * state.seconds / state.step)
                print(f"{name} epoch {state.epoch + 1}: {state.step}/{steps} batches, {left} left", flush=True)

        dev_accuracy, dev_entropy = evaluate(model, dev, config.precision, dev_numbers)
        _check_dev(dev_entropy, dev, dev_numbers, state, folder)
        frames = steps * batch_size
        soft, hard, _, right = state.sums
        curve = {
            "epoch": state.epoch + 1,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "train_loss_soft": soft / frames if loss.hard_weight < 1 else None,
            "train_loss_hard": hard / frames if loss.hard_weight > 0 else None,
            "train_accuracy": 100 * right / frames,
            "dev_accuracy": dev_accuracy,
            "dev_cross_entropy": dev_entropy,
            "frames_per_second": round(frames / state.seconds),
            "seconds": round(time.monotonic() - began, 1),
        }
        state.curves.append(curve)
        if board is not None:
            write_jsonl(folder / CURVES, state.curves)
            _show(name, curve, board)

        if dev_accuracy > state.best_accuracy or config.keep == "last":
            state.best_accuracy = dev_accuracy
            training = {"seed": seed, "hard_weight": loss.hard_weight, "temperature": loss.temperature}
            result = {key: curve[key] for key in ("epoch", "dev_accuracy", "dev_cross_entropy")}
            if first:
                save_model(folder, model, {**card, **training, "train": asdict(config), **result})
        state.epoch += 1
        state.step, state.seconds, state.sums = 0, 0.0, [0.0] * 4
        if first:
            save_checkpoint(folder / CHECKPOINT, model, optimizer, state)
    if board is not None:
        board.close()

    ranks.wait_for_all()
    model, best = load_model(folder)
    model.to(device)
    # The curve's train accuracy is of weights on the move; this one is of the model that is kept.
    sample = permuted(torch.arange(min(TRAIN_SAMPLE, len(train))), len(train), seed)
    accuracy, _ = evaluate(model, train, config.precision, sample.sort().values)
    if first:
        save_model(folder, model, {**best, "train_accuracy": accuracy})
    ranks.wait_for_all()


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW (Loshchilov and Hutter 2019), whose decay is apart from the gradient."""
    common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), **common)
    return torch.optim.SGD(model.parameters(), momentum=config.momentum, **common)


def learning_rate(done: float, config: TrainConfig) -> float:
    """The rate of the step before which the share `done` of the training lies (Loshchilov and Hutter 2017, "SGDR").

    It starts small because the first steps of a net with momentum go far astray at the full rate.
    """
    rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    return rate * min(1.0, done / WARM_UP) if done > 0 else 0.0


def train_step(
    net: nn.Module,
    loss: DistillationLoss,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    precision: str,
    scale: float,
) -> Tensor:
    """One update of the weights. Returns (4,) sums over the frames: soft, hard and total loss, frames right.

    scale: what the sum of the frames' losses is divided by, as a factor: one over the frames of all processes, times
    their number, since DistributedDataParallel takes the mean of their gradients.
    """
    with autocast(batch.inputs.device, precision):
        logits = net(batch.inputs)  # (B, C)
    terms = loss.terms(logits, batch.targets, batch.labels)
    frames = len(batch.labels)
    optimizer.zero_grad()
    (terms.total * (frames * scale)).backward()
    optimizer.step()
    right = (logits.detach().max(1).indices == batch.labels).sum()
    return torch.stack([terms.soft * frames, terms.hard * frames, terms.total * frames, right]).detach()


@torch.inference_mode()
def evaluate(
    model: AcousticModel, data: FrameData, precision: str = "auto", numbers: Tensor | None = None
) -> tuple[float, float]:
    """Frame accuracy in percent and cross-entropy in nats, over the frames of these numbers or all; leaves the model in
    evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # frames right, cross-entropy
    count = len(data) if numbers is None else len(numbers)
    for begin in ranks.share(torch.arange(0, count, DEV_BATCH)).tolist():
        end = min(begin + DEV_BATCH, count)
        own = torch.arange(begin, end) if numbers is None else numbers[begin:end]
        batch = Batch(*data.batch(data.positions(own)), None, []).to(device)
        with autocast(device, precision):
            logits = model(batch.inputs.float())  # (B, C)
        sums[0] += (logits.argmax(1) == batch.labels).sum()
        sums[1] += F.cross_entropy(logits.float(), batch.labels, reduction="sum")
    right, entropy = ranks.summed(sums).tolist()
    return 100 * right / count, entropy / count


def _check(
    sums: list[list[float]], most: float, state: State, positions: Tensor, train: FrameData, folder: Path
) -> None:
    """Raises UserError for the first of the last steps whose mean loss is not finite or above `most`."""
    for step, (row, (_, _, total, _)) in enumerate(zip(positions, sums, strict=True), state.step - len(sums) + 1):
        mean = total / len(row)
        if math.isfinite(mean) and mean <= most:
            continue
        damaged = _damaged(train, row)
        names = damaged or [train.ids[u] for u in train.utterance_of(row).unique().tolist()]
        raise UserError(
            f"{folder}: the loss is {mean:g} in epoch {state.epoch + 1}, step {step}; {_mend(damaged)}. The last "
            f"checkpoint is kept. {DAMAGED if damaged else 'The utterances of the batch'}: {_named(names)}"
        )


def _check_dev(entropy: float, dev: FrameData, numbers: Tensor | None, state: State, folder: Path) -> None:
    """Raises UserError when the cross-entropy is not finite: before weights that make it so are kept."""
    if math.isfinite(entropy):
        return
    numbers = torch.arange(len(dev)) if numbers is None else numbers
    damaged = sorted({name for block in numbers.split(DEV_BATCH) for name in _damaged(dev, dev.positions(block))})
    names = f". {DAMAGED}: {_named(damaged)}" if damaged else ""
    raise UserError(
        f"{folder}: the cross-entropy on dev is {entropy:g} after epoch {state.epoch + 1}; {_mend(damaged)}. The last "
        f"checkpoint is kept{names}"
    )


def _damaged(data: FrameData, positions: Tensor) -> list[str]:
    """The utterances of those of these frames whose windows are not all numbers."""
    finite = data.batch(positions)[0].float().isfinite().all(1)  # (B,)
    return [data.ids[u] for u in data.utterance_of(positions[~finite]).unique().tolist()]


def _named(utterances: Sequence[str]) -> str:
    more = len(utterances) - NAMED
    return " ".join(utterances[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _mend(damaged: Sequence[str]) -> str:
    if damaged:
        return "mend their audio, or drop them from the cut set, and run the stages from 0 on"
    return "lower train.learning_rate, of a student distill.learning_rate, of a specialist specialists.learning_rate"


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
