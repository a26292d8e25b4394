"""The feed-forward acoustic model: spliced frames in, one logit a pdf out."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asrkd.config import ModelConfig
from asrkd.errors import UserError
from asrkd.files import read_json, write_json
from asrkd.tensors import replacing_tensors

WEIGHTS = "model.safetensors"
CARD = "card.json"


class AcousticModel(nn.Module):
    """`hidden_layers` ReLU layers and a linear one: (N, window * num_mel) -> logits (N, num_pdfs).

    A row of the input is the window of `left + 1 + right` frames, oldest first, as `features.splice` gathers it.
    """

    def __init__(self, num_mel: int, num_pdfs: int, config: ModelConfig) -> None:
        super().__init__()
        self.num_mel = num_mel
        self.num_pdfs = num_pdfs
        self.config = config
        sizes = [(config.left + 1 + config.right) * num_mel] + [config.hidden_size] * config.hidden_layers
        self.hidden = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(sizes))
        self.output = nn.Linear(sizes[-1], num_pdfs)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training and self.config.input_dropout > 0:
            inputs = dropout(inputs, self.config.input_dropout)
        for layer in self.hidden:
            inputs = torch.relu(layer(inputs))  # (N, hidden_size)
            if self.training and self.config.dropout > 0:
                inputs = dropout(inputs, self.config.dropout)
        logits: Tensor = self.output(inputs)  # (N, num_pdfs)
        return logits

    def initialise(self, seed: int) -> None:
        """He et al. 2015 for the ReLU layers, Glorot and Bengio 2010 for the output; biases are 0."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("output"):
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)


def dropout(inputs: Tensor, rate: float) -> Tensor:
    """Set a share of the inputs to 0, at random, and scale the others so that the mean stays (Srivastava et al. 2014).

    The rate, below 1, is taken in steps of 1/256, so that a random byte an input is enough: torch's own dropout draws a
    number for each, and on a CPU that took a quarter of the training's time.
    """
    dropped = round(256 * rate)
    words = torch.empty(math.ceil(inputs.numel() / 8), dtype=torch.int64, device=inputs.device).random_(-(2**63), None)
    kept = words.view(torch.int8)[: inputs.numel()].ge_(dropped - 128)  # each byte is now 1 or 0
    return inputs * kept.view(inputs.shape).to(inputs.dtype).mul_(256 / (256 - dropped))


@torch.no_grad()
def limit_norms(model: AcousticModel, most: float) -> None:
    """Scale down the weights into each hidden unit to a Euclidean norm of `most` at the most (Srivastava et al. 2014,
    section 5.1). 0 limits nothing."""
    if most > 0:
        for name, weight in model.hidden.named_parameters():
            if name.endswith("weight"):
                weight.renorm_(2, 0, most)


def save_model(folder: Path, model: AcousticModel, card: Mapping[str, Any]) -> None:
    """Write the weights and the card; what `load_model` needs of the shape is added to the card."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}
    with replacing_tensors(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    shape = {"num_mel": model.num_mel, "num_pdfs": model.num_pdfs, "model": asdict(model.config)}
    write_json(folder / CARD, {**shape, **card})


def load_model(folder: Path) -> tuple[AcousticModel, dict[str, Any]]:
    """The model, in evaluation mode, and its card.

    Raises UserError when a file is missing or damaged, or when the weights do not have the card's shapes.
    """
    card = read_json(folder / CARD)
    try:
        model = AcousticModel(card["num_mel"], card["num_pdfs"], ModelConfig(**card["model"]))
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / CARD}: not the card of an acoustic model ({error}); train it again") from None
    try:
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise UserError(f"{folder / WEIGHTS}: no such file; delete {folder} and train the model again") from None
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS}: damaged ({error}); delete {folder} and train the model again") from None
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{folder / WEIGHTS}: expected {name} of shape {expected.get(name)}, found {found.get(name)}; "
                f"{CARD} and {WEIGHTS} are not of one model"
            )
    model.load_state_dict(weights)
    return model.eval(), card
