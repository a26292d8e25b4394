"""What a specialist begins with, against the generalist: exact where its bound is, below it elsewhere."""

import math

import torch
from torch import Tensor

from asrkd.config import ModelConfig
from asrkd.models.dnn import AcousticModel
from asrkd.specialists.combine import dustbin_correction
from asrkd.specialists.start import starting_weights

MEL, PDFS = 3, 7
CLUSTER = torch.tensor([1, 4, 5])
REST = [0, 2, 3, 6]
SHAPE = ModelConfig(hidden_layers=2, hidden_size=8, left=1, right=0)
INPUTS = torch.randn(40, 2 * MEL, generator=torch.Generator().manual_seed(1))


def generalist() -> AcousticModel:
    model = AcousticModel(MEL, PDFS, SHAPE).eval()
    model.initialise(0)
    with torch.no_grad():
        model.output.bias.copy_(torch.linspace(-1, 1, PDFS))
    return model


@torch.no_grad()
def outputs(model: AcousticModel, frames: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The generalist's logits with those of all but the cluster as one, and the specialist's at its start, corrected:
    (N, S + 1) each."""
    start = AcousticModel(MEL, len(CLUSTER) + 1, SHAPE).eval()
    start.load_state_dict(starting_weights(model, CLUSTER, frames, ratio))
    logits = model(INPUTS)
    lumped = torch.cat([logits[:, CLUSTER], logits[:, REST].logsumexp(1, keepdim=True)], 1)
    return lumped, dustbin_correction(start(INPUTS), ratio)


def test_the_generalists_own_where_the_rest_is_told_apart_by_frequency_alone() -> None:
    """Its rows of the rest the same, its biases log frequencies: the softmax over the rest is the shares."""
    model = generalist()
    frames = torch.tensor([40, 3, 10, 30, 7, 9, 20])
    with torch.no_grad():
        model.output.weight[REST] = model.output.weight[0].clone()
        model.output.bias[REST] = 0.3 + frames[REST].float().log()
    expected, found = outputs(model, frames, 4.5)
    torch.testing.assert_close(found, expected)


def test_elsewhere_the_dustbin_is_below_and_the_cluster_the_same() -> None:
    frames = torch.tensor([40, 3, 10, 0, 7, 9, 20])  # one of the rest has no frame
    expected, found = outputs(generalist(), frames, 1.0)
    torch.testing.assert_close(found[:, :-1], expected[:, :-1])
    assert (found[:, -1] <= expected[:, -1] + 1e-6).all()
    # By the definition, a frame at a time.
    model, shares = generalist(), frames[REST].double() / frames[REST].sum()
    with torch.no_grad():
        logits = model(INPUTS)[:, REST].double()
    bound = [
        sum(s * (z - math.log(s)) for s, z in zip(shares.tolist(), row, strict=True) if s > 0)
        for row in logits.tolist()
    ]
    torch.testing.assert_close(found[:, -1].double(), torch.tensor(bound, dtype=torch.float64), rtol=1e-5, atol=1e-5)


def test_the_ratio_moves_the_dustbin_alone() -> None:
    frames = torch.arange(1, PDFS + 1)
    plain, oversampled = (starting_weights(generalist(), CLUSTER, frames, ratio) for ratio in (1.0, 9.0))
    moved = plain["output.bias"] - oversampled["output.bias"]
    torch.testing.assert_close(moved, torch.tensor([0, 0, 0, math.log(9)]))
    assert all(torch.equal(plain[name], oversampled[name]) for name in plain if name != "output.bias")
