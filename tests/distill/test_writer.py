"""Writers that were killed, interrupted or out of disk: what they leave, and who goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkd import SoftTargetStore
from asrkd.distill import shards as shards_module
from asrkd.distill import writer as writer_module
from asrkd.errors import UserError
from tests.distill.store_examples import create, named, probabilities


def test_an_interrupted_writer_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SHARD_BYTES", 100)  # full after two of the three
    utterances = {f"u{u}": probabilities(4, seed=u) for u in range(7)}

    def write(path: Path, copy_after: str = "") -> list[str]:
        with create(path, shard="one") as writer:
            missing = [name for name in utterances if name not in writer]
            for name in missing:
                writer.add(name, utterances[name], first=4 * int(name[1:]))
                if name == copy_after:  # what kill -9 would leave at this moment
                    shutil.copytree(path, tmp_path / "killed")
        return missing

    write(tmp_path / "whole", copy_after="u4")
    assert list((tmp_path / "killed").glob(".*"))
    assert write(tmp_path / "killed") == ["u4", "u5", "u6"]
    assert not list((tmp_path / "killed").glob(".*"))
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert files == ["card.json", *(f"one.{n:04d}.targets" for n in range(4))]
    for name in files:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match="u0: expected each utterance once"):
        create(tmp_path / "whole").add("u0", utterances["u0"])


def test_an_error_loses_nothing_and_the_next_writer_continues(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), create(tmp_path) as writer:
        writer.add("u", probabilities(4))
        raise KeyboardInterrupt
    with create(tmp_path) as writer:
        assert "u" in writer and "v" not in writer
        writer.add("v", probabilities(3, seed=1))
    store = SoftTargetStore.open(tmp_path)
    assert store.ids == ["u", "v"] and store.first_of("v") == 4
    assert torch.equal(named(store.gather(torch.tensor([5]))).ids, probabilities(3, seed=1).topk(3).indices[1:2])
    assert named(store.gather(torch.tensor([], dtype=torch.int64))).ids.shape == (0, 3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_a_full_disk_no_half_shard_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
        raise OSError(28, "No space left on device")
    assert SoftTargetStore.open(tmp_path).ids == []
    with create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
    assert SoftTargetStore.open(tmp_path, verify=True).ids == ["u"]


def _write_all(path: Path) -> None:
    with create(path, shard="one") as writer:
        for u in range(400):
            if f"u{u}" not in writer:
                writer.add(f"u{u}", probabilities(300, seed=u), first=300 * u)


def test_kill_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import tests.distill.test_writer as t; "
        "t.writer_module.SHARD_BYTES = 200_000; print('begun', flush=True); t._write_all(Path(sys.argv[2]))"
    )
    for delay in (0.02, 0.1):
        command = [sys.executable, "-c", script, str(Path(__file__).parents[2]), str(tmp_path / "killed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
    monkeypatch.setattr(writer_module, "SHARD_BYTES", 200_000)
    for name in ("killed", "whole"):
        _write_all(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(files) > 5 and files == sorted(path.name for path in (tmp_path / "killed").iterdir())
    for name in files:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_kill_in_the_middle_of_the_card_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "import tests.distill.test_writer as t; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "t.create(Path(sys.argv[2]), shard='one')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parents[2]), str(tmp_path)])
    assert done.returncode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    with create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "one.0000.targets"]


@pytest.mark.parametrize("moment", ["after the records", "in the footer", "before the name"])
def test_ctrl_c_in_the_middle_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    interrupted: list[str] = []

    def once(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            found = function(*arguments)
            if not interrupted:
                interrupted.append(moment)
                raise KeyboardInterrupt
            return found

        return call

    with pytest.raises(KeyboardInterrupt), create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
        if moment == "after the records":
            monkeypatch.setattr(shards_module, "_Added", once(shards_module._Added))
        elif moment == "in the footer":
            monkeypatch.setattr(writer_module, "SHARD_BYTES", 1)  # `v` begins another
            monkeypatch.setattr(os, "fsync", once(lambda file: None))
        else:
            monkeypatch.setattr(zlib, "crc32", once(zlib.crc32))
        writer.add("v", probabilities(4))
    assert interrupted
    monkeypatch.undo()
    with create(tmp_path, shard="one") as writer:
        writer.add("v", probabilities(3))
    assert SoftTargetStore.open(tmp_path, verify=True).ids == ["u", "v"]


def test_a_deleted_shard_alone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SHARD_BYTES", 1)  # a shard an utterance

    def write() -> list[str]:
        with create(tmp_path, shard="one") as writer:
            missing = [f"u{u}" for u in range(3) if f"u{u}" not in writer]
            for name in missing:
                writer.add(name, probabilities(4), first=4 * int(name[1:]))
        return missing

    assert write() == ["u0", "u1", "u2"]
    (tmp_path / "one.0000.targets").unlink()
    assert write() == ["u0"]
    assert SoftTargetStore.open(tmp_path, verify=True).ids == ["u0", "u1", "u2"]


def test_two_writers_of_one_name_lose_nothing_in_silence(tmp_path: Path) -> None:
    """A writer that was handed to two processes, say: the second one finds the first one's shard in its place."""
    first, second = create(tmp_path, shard="same"), create(tmp_path, shard="same")
    with first:
        first.add("u", probabilities(3))
    with (
        pytest.raises(UserError, match=r"same\.0000\.targets: expected one writer of this name, .* shard=NAME"),
        second,
    ):
        second.add("v", probabilities(3))
    store = SoftTargetStore.open(tmp_path, verify=True)
    assert list(store) == ["u"]
