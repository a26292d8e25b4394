"""The acoustic model: its arithmetic by hand, its start, its files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asrkd.config import ModelConfig
from asrkd.errors import UserError
from asrkd.models.dnn import AcousticModel, dropout, limit_norms, load_model, save_model

CONFIG = ModelConfig(hidden_layers=2, hidden_size=64, left=2, right=1, dropout=0.0)


def small_model(seed: int = 0) -> AcousticModel:
    model = AcousticModel(5, 9, CONFIG)
    model.initialise(seed)
    return model


def test_forward_is_affine_relu_affine() -> None:
    model = small_model()
    weights = {name: weight.double() for name, weight in model.state_dict().items()}
    inputs = torch.randn(3, 4 * 5)
    hidden = inputs.double()
    for layer in ("hidden.0", "hidden.1"):
        hidden = (hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]).clamp(min=0)
    expected = hidden @ weights["output.weight"].T + weights["output.bias"]
    torch.testing.assert_close(model(inputs).double(), expected, atol=1e-5, rtol=1e-4)


def test_start_follows_from_the_seed_and_keeps_the_scale() -> None:
    one, same, other = small_model(1), small_model(1), small_model(2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.output.weight, other.output.weight)
    # He et al.: variance 2 / fan-in; 64 * 20 draws put the standard deviation within a few percent.
    assert one.state_dict()["hidden.0.weight"].std().item() == pytest.approx((2 / 20) ** 0.5, rel=0.1)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    inputs = torch.ones(301, 333, requires_grad=True)
    outputs = dropout(inputs, rate)
    dropped = outputs == 0
    # 100,233 draws: the standard deviation of the share is at most 0.0016; the rate is in steps of 1/256.
    assert dropped.float().mean().item() == pytest.approx(rate, abs=0.01)
    for axis in (0, 1):  # no column or row fares otherwise than chance has it (5 standard deviations)
        assert (dropped.float().mean(axis) - rate).abs().max().item() < 5 * 0.5 / 300**0.5
    assert outputs.mean().item() == pytest.approx(1, abs=0.02)
    assert outputs[~dropped].unique().numel() == 1
    outputs.sum().backward()
    assert inputs.grad is not None and torch.equal(inputs.grad, outputs.detach())
    assert not torch.equal(dropped, dropout(inputs, rate) == 0)


def test_dropout_is_for_training_alone() -> None:
    model = AcousticModel(5, 9, ModelConfig(hidden_layers=2, hidden_size=64, left=2, right=1, dropout=0.5))
    model.initialise(0)
    inputs = torch.randn(3, 20)
    assert not torch.equal(model.train()(inputs), model(inputs))
    assert torch.equal(model.eval()(inputs), model(inputs))


def test_inputs_are_dropped_too() -> None:
    model = AcousticModel(5, 9, ModelConfig(hidden_layers=0, left=2, right=1, dropout=0.0, input_dropout=0.25))
    model.initialise(0)
    inputs, ones = torch.ones(4000, 20), torch.ones(20)
    torch.manual_seed(0)
    outputs = model.train()(inputs)
    # Of a linear net, each output is the sum of the kept weights over 0.75: its variance is that of the coins.
    weights = model.output.weight.detach()
    torch.testing.assert_close(outputs.mean(0), weights @ ones, atol=0.1, rtol=0)
    torch.testing.assert_close(outputs.var(0), weights.square().sum(1) * 0.25 / 0.75, atol=0, rtol=0.15)
    torch.testing.assert_close(model.eval()(inputs[:1])[0], weights @ ones)


def test_norms_above_the_limit_are_scaled_to_it() -> None:
    model = AcousticModel(1, 2, ModelConfig(hidden_layers=1, hidden_size=3, left=1, right=0))
    with torch.no_grad():
        model.state_dict()["hidden.0.weight"].copy_(torch.tensor([[3.0, 4.0], [0.6, -0.8], [0.0, 0.0]]))
        model.state_dict()["hidden.0.bias"].fill_(9)
        model.output.weight.fill_(9)
    limit_norms(model, 2.0)
    weights = model.state_dict()
    torch.testing.assert_close(weights["hidden.0.weight"], torch.tensor([[1.2, 1.6], [0.6, -0.8], [0.0, 0.0]]))
    assert (weights["hidden.0.bias"] == 9).all() and (weights["output.weight"] == 9).all()
    limit_norms(model, 0.0)
    assert weights["hidden.0.weight"].norm() > 2


def test_round_trip(tmp_path: Path) -> None:
    model = small_model()
    save_model(tmp_path, model, {"label_set": "abc"})
    loaded, card = load_model(tmp_path)
    assert card["label_set"] == "abc"
    assert not loaded.training
    inputs = torch.randn(3, 20)
    assert torch.equal(loaded(inputs), model.eval()(inputs))


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"card\.json: no such file"):
        load_model(tmp_path)
    save_model(tmp_path, small_model(), {})
    weights, card = tmp_path / "model.safetensors", tmp_path / "card.json"

    other = load_file(weights)
    other["output.bias"] = torch.zeros(8)
    save_file(other, weights)
    with pytest.raises(UserError, match=r"expected output\.bias of shape \(9,\), found \(8,\)"):
        load_model(tmp_path)

    save_model(tmp_path, small_model(), {})
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file"):
        load_model(tmp_path)
    card.write_text(json.dumps({"num_mel": 5}))
    with pytest.raises(UserError, match="not the card"):
        load_model(tmp_path)
