"""Several processes on one model, as torchrun starts them, against one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asrkd.config import Config
from asrkd.files import read_json, read_jsonl
from asrkd.settings import save_config
from asrkd.train import ranks
from asrkd.train.device import choose_device
from asrkd.train.jobs import train_models
from asrkd.train.members import train_members
from asrkd.train.soft_targets import make_soft_targets
from asrkd.train.training import Training

TWO = """
import sys
from pathlib import Path
from asrkd.settings import load_config
from asrkd.train.jobs import train_models
from asrkd.train.training import Training

exp = Path(sys.argv[1])
train_models(exp, load_config(exp / "config.yaml"), [Training("student", 3, 0.5, 2.0)], "a test", False)
"""


def torchrun(*command: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*launcher, *command], check=False, capture_output=True, text=True, env=environment)


def test_two_processes_take_the_steps_of_one(exp: Path, config: Config, tmp_path: Path) -> None:
    config.model.dropout = 0.0  # its noise would be another
    config.train.batch_size = 33  # 17 frames and 16
    config.train.epochs = 2
    train_members(exp, config)
    config.distill.speeds = config.train.speeds
    make_soft_targets(exp, config)
    save_config(config, exp / "config.yaml")
    two = tmp_path / "two"
    shutil.copytree(exp, two)
    train_models(exp, config, [Training("student", 3, 0.5, 2.0)], "a test", False)

    script = tmp_path / "train.py"
    script.write_text(TWO)
    done = torchrun(str(script), str(two))
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (load_file(folder / "models" / "student" / "model.safetensors") for folder in (exp, two))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-5)
    cards = [read_json(folder / "models" / "student" / "card.json") for folder in (exp, two)]
    for key in ("epoch", "frames", "seed", "temperature"):
        assert cards[0][key] == cards[1][key]
    curves = [read_jsonl(folder / "models" / "student" / "curves.jsonl") for folder in (exp, two)]
    for row, same in zip(*curves, strict=True):
        for key in ("train_loss_soft", "train_loss_hard", "train_accuracy", "dev_accuracy", "dev_cross_entropy"):
            assert same[key] == pytest.approx(row[key], rel=1e-3)


def test_the_command_skips_what_is_finished_and_speaks_once(exp: Path, config: Config) -> None:
    config.train.epochs = 1
    train_members(exp, config)
    save_config(config, exp / "config.yaml")
    done = torchrun("-m", "asrkd", "train", str(exp))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("models/member-01: finished, skipped") == 1
    assert done.stdout.count("members: dev frame accuracy") == 1


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before nccl begins: it takes the present device, and that is the first one in every process."""
    called: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.set_device", called.append)
    monkeypatch.setattr("torch.distributed.init_process_group", called.append)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    with ranks.joined(choose_device("auto")):
        assert called == [torch.device("cuda", 1), "nccl"]


@pytest.mark.parametrize("step", ["decode {}", "experiment {} sizes", "mnist score {}"])
def test_other_steps_are_refused(exp: Path, config: Config, step: str) -> None:
    save_config(config, exp / "config.yaml")
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "1"}
    command = [sys.executable, "-m", "asrkd", *step.format(exp).split()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    named = {"decode {}": "decode", "experiment {} sizes": f"experiment {exp} sizes", "mnist score {}": "mnist score"}
    assert "asrkd: error: torchrun is for train, fold-teachers, distil, limited, mnist train, " in done.stderr
    assert f"; call asrkd {named[step]} without it" in done.stderr
