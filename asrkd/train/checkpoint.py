"""What a training goes on from after it was killed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asrkd.errors import UserError
from asrkd.models.dnn import AcousticModel
from asrkd.tensors import replacing_tensors

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class State:
    """All that a resumed training needs beside the tensors."""

    epoch: int = 0  # done
    step: int = 0  # done in the epoch under way
    best_accuracy: float = -1.0  # on dev, percent; below any
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # over the steps: soft, hard, total loss; frames right
    seconds: float = 0.0  # in the epoch under way
    curves: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(path: Path, model: AcousticModel, optimizer: torch.optim.Optimizer, state: State) -> None:
    """One file for tensors and counters, so that they cannot be of two moments."""
    tensors = {name: tensor.detach().cpu() for name, tensor in _tensors(model, optimizer)}
    with replacing_tensors(path) as temporary:
        save_file(tensors, temporary, {"state": json.dumps(asdict(state))})


def load_checkpoint(path: Path, model: AcousticModel, optimizer: torch.optim.Optimizer) -> State | None:
    """Set model and optimizer back to a checkpoint. Raises UserError when it is damaged."""
    if not path.exists():
        return None
    parameters = dict(model.named_parameters())
    try:
        with safe_open(path, "pt") as file, torch.no_grad():
            for key in file.keys():  # noqa: SIM118 (a safetensors file, not a mapping)
                kind, _, name = key.partition(".")
                weight, saved = parameters[name], file.get_tensor(key)
                if kind == "weight":
                    weight.copy_(saved)
                else:
                    optimizer.state[weight][kind] = saved.to(weight.device)
            state = State(**json.loads(file.metadata()["state"]))
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); delete {path.parent} to train the model again") from None
    print(f"{path.parent.name}: resumed in epoch {state.epoch + 1} after {state.step} batches", flush=True)
    return state


def _tensors(model: AcousticModel, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """weight.NAME, and momentum_buffer.NAME or what else the optimizer keeps of it."""
    for name, weight in model.named_parameters():
        yield f"weight.{name}", weight
        for kind, value in optimizer.state[weight].items():
            if isinstance(value, Tensor):  # train.momentum=0 has None
                yield f"{kind}.{name}", value
