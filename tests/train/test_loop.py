"""The loop: killed and resumed to the same bits, stopped by NaN."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from asrkd.config import Config, ModelConfig, TrainConfig
from asrkd.distill.loss import DistillationLoss
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, read_jsonl
from asrkd.train import loop
from asrkd.train.checkpoint import CHECKPOINT
from asrkd.train.data import FrameData

PDFS = 5


def train(exp: Path, folder: Path, config: Config, compiled: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    data = {
        split: FrameData.open(exp / "features" / split, exp / "align" / split, config.model)
        for split in ("train", "dev")
    }
    loop.train_model(
        folder,
        data["train"],
        data["dev"],
        DistillationLoss(1.0, 1.0),
        [],
        num_pdfs=PDFS,
        model_config=config.model,
        features=config.features,
        config=config.train,
        seed=7,
        device=torch.device("cpu"),
        card={},
        compiled=compiled,
    )


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


KILLED = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_loop import settings, train
from asrkd.train import loop
from asrkd.train.checkpoint import CHECKPOINT

torch.set_num_threads(1)
loop.STEPS_BETWEEN_CHECKS, loop.SECONDS_BETWEEN_CHECKPOINTS = 7, 0.0
print("ready", flush=True)
train(Path(sys.argv[1]), Path(sys.argv[2]), settings(sys.argv[4]))
"""


def settings(optimizer: str) -> Config:
    config = Config()
    config.model = ModelConfig(hidden_layers=2, hidden_size=64, left=2, right=3, dropout=0.1, input_dropout=0.1)
    # A window of 6 frames of 6 bins is a square, so that it can be moved as an image is.
    config.train = TrainConfig(batch_size=16, epochs=3, epoch_frames=1500, precision="bfloat16", keep="last")
    config.train.max_norm, config.train.jitter = 1.5, 1
    config.train.optimizer, config.train.learning_rate = optimizer, {"sgd": 0.08, "adamw": 0.001}[optimizer]
    return config


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_killed_and_resumed_is_bit_identical(
    exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], optimizer: str
) -> None:
    torch.set_num_threads(1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(exp, whole, settings(optimizer))
    command = [sys.executable, "-c", KILLED, str(exp), str(killed), str(Path(__file__).parent), optimizer]
    checkpoint = killed / CHECKPOINT
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not checkpoint.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    train(exp, killed, settings(optimizer))
    assert "killed: resumed in epoch 1 after" in capsys.readouterr().out
    assert digest(killed) == digest(whole)
    assert (killed / "card.json").read_text() == (whole / "card.json").read_text()
    keys = ("epoch", "train_loss_hard", "train_accuracy", "dev_accuracy", "dev_cross_entropy")
    curves = [[[row[key] for key in keys] for row in read_jsonl(folder / loop.CURVES)] for folder in (whole, killed)]
    assert curves[0] == curves[1]


def test_nan_stops_names_the_utterance_and_keeps_the_checkpoint(
    exp: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FrameStore.open(exp / "features" / "train")
    frames = np.load(store.folder / "frames.npy", mmap_mode="r+")
    evaluate = loop.evaluate

    def spoil(*arguments: Any) -> tuple[float, float]:
        frames[store.first[5] + 3] = np.nan
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate", spoil)  # at the end of the first epoch
    with pytest.raises(UserError, match=r"the loss is nan in epoch 2, step \d+; mend .*that are no numbers: train-5$"):
        train(exp, tmp_path / "model", config)
    with safe_open(tmp_path / "model" / CHECKPOINT, "np") as file:
        assert json.loads(file.metadata()["state"])["epoch"] == 1
        assert all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118


def test_an_error_names_some_utterances_and_counts_the_others() -> None:
    names = [f"u{number}" for number in range(loop.NAMED + 3)]
    assert loop._named(names[:2]) == "u0 u1"
    assert loop._named(names[: loop.NAMED]).endswith(f" u{loop.NAMED - 1}")
    assert loop._named(names).endswith(f" u{loop.NAMED - 1} and 3 more")


def test_dev_frames_that_are_no_numbers_stop_before_a_model_is_kept(exp: Path, config: Config, tmp_path: Path) -> None:
    store = FrameStore.open(exp / "features" / "dev")
    np.load(store.folder / "frames.npy", mmap_mode="r+")[store.first[5] + 3] = np.nan
    with pytest.raises(UserError, match=r"on dev is nan after epoch 1; mend .*that are no numbers: dev-5$"):
        train(exp, tmp_path / "model", config)
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_a_loss_that_explodes_stops(exp: Path, config: Config, tmp_path: Path) -> None:
    config.train.learning_rate = 1e4
    named = r"epoch 1, step \d+; lower train\.learning_rate, .*\. The .*of the batch: train-\d+ train-\d+"
    with pytest.raises(UserError, match=named):
        train(exp, tmp_path / "model", config)


def test_the_rate_rises_and_falls_to_nothing() -> None:
    config = TrainConfig(learning_rate=0.2)
    shares = [0.0, loop.WARM_UP / 2, loop.WARM_UP, 0.5, 2 / 3, 1.0]
    found = [loop.learning_rate(share, config) for share in shares]
    assert found == pytest.approx([0, 0.1, 0.2, 0.1, 0.05, 0], abs=3e-4)


def test_every_step_has_its_rate(exp: Path, config: Config, tmp_path: Path) -> None:
    config.train.learning_rate, config.train.epochs = 0.01, 2
    train(exp, tmp_path / "model", config)
    curves = read_jsonl(tmp_path / "model" / loop.CURVES)
    assert [row["learning_rate"] for row in curves] == pytest.approx([0.005, 0.0], abs=2e-4)


@pytest.mark.parametrize(("keep", "epoch"), [("best", 2), ("last", 4)])
def test_the_epoch_that_is_kept(
    exp: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, epoch: int
) -> None:
    measured = iter([(50.0, 1.0), (60.0, 1.0), (60.0, 0.9), (40.0, 1.0), (99.0, 0.0)])  # four epochs, then train
    monkeypatch.setattr(loop, "evaluate", lambda *_: next(measured))
    config.train.keep = keep
    train(exp, tmp_path / "model", config)
    assert read_json(tmp_path / "model" / "card.json")["epoch"] == epoch


def test_no_weights_into_a_unit_are_above_the_limit(exp: Path, config: Config, tmp_path: Path) -> None:
    config.train.max_norm, config.train.epochs = 0.5, 1
    train(exp, tmp_path / "model", config)
    norms = load_file(tmp_path / "model" / "model.safetensors")["hidden.0.weight"].norm(dim=1)
    assert 0.45 < norms.mean() <= norms.max() < 0.5001  # a start's are 1.4


def test_the_steps_of_adamw_are_those_of_its_definition(config: Config) -> None:
    config.train.optimizer, config.train.learning_rate, config.train.weight_decay = "adamw", 0.1, 0.5
    net = torch.nn.Linear(1, 1, bias=False)
    weight = net.weight.item()
    optimizer = loop.make_optimizer(net, config.train)
    mean = variance = 0.0
    for step, gradient in enumerate((2.0, -1.0), start=1):
        net.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        mean, variance = 0.9 * mean + 0.1 * gradient, 0.999 * variance + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**step) / ((variance / (1 - 0.999**step)) ** 0.5 + 1e-8)
        weight = weight - 0.1 * 0.5 * weight - 0.1 * unbiased
        assert net.weight.item() == pytest.approx(weight, rel=1e-5)


def test_without_momentum(exp: Path, config: Config, tmp_path: Path) -> None:
    config.train.momentum, config.train.epochs = 0.0, 1
    train(exp, tmp_path / "model", config)
    train(exp, tmp_path / "model", config)  # from its last checkpoint
    assert len(read_jsonl(tmp_path / "model" / loop.CURVES)) == 1


def test_a_damaged_checkpoint_is_named(exp: Path, config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    train(exp, folder, config)
    path = folder / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: damaged"):
        train(exp, folder, config)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's compiler calls it itself
def test_compiled_steps_are_the_same_steps(exp: Path, config: Config, tmp_path: Path) -> None:
    config.model.dropout = 0.0
    config.train.epochs = 1
    train(exp, tmp_path / "plain", config)
    train(exp, tmp_path / "compiled", config, compiled=True)
    plain, compiled = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "compiled"))
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-4, atol=1e-5)
