"""A full disk, made for real: a small file system in a mount namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WRITE = """
import sys
from pathlib import Path
import numpy as np
import torch
from safetensors.torch import save_file
from asrkd import cli
from asrkd.config import RunConfig
from asrkd.distill.shards import ShardFile
from asrkd.files import write_npy, write_text
from asrkd.parallel import parallel
from asrkd.tensors import replacing_tensors

def text(path):
    write_text(path, "x" * 100_000)

def array(path):
    write_npy(path, np.zeros(100_000))

def tensors(path):
    with replacing_tensors(path) as temporary:
        save_file({"weight": torch.zeros(100_000)}, temporary)

def targets(path):
    ShardFile(path, 1000, 0).add("one", 0, torch.zeros(1000, 1000, dtype=torch.uint8))

WRITERS = {"text": text, "array": array, "tensors": tensors, "targets": targets}

def work():
    folder, kind, jobs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    write_text(folder / "before", "whole")
    try:
        parallel(WRITERS[kind], [(folder / "full",)] * jobs, RunConfig(jobs=2), what="writes")
    finally:
        assert (folder / "before").read_text() == "whole"
        # A shard under way keeps its temporary file until the next call.
        left = [path.name for path in folder.iterdir() if not (kind == "targets" and path.name.endswith(".tmp"))]
        assert left == ["before"], left

cli.cli = lambda prog_name: work()
cli.main()
"""


def can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="only root may mount a small file system")
@pytest.mark.parametrize(("kind", "jobs"), [("text", 1), ("array", 1), ("array", 2), ("tensors", 1), ("targets", 1)])
def test_a_full_disk_is_one_line_that_names_the_file(kind: str, jobs: int, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"'
    command = [sys.executable, "-c", WRITE, str(small), kind, str(jobs)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", str(small), *command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    line, *more = done.stderr.splitlines()
    assert not more, done.stderr
    why = f"[Errno 28] No space left on device: '{small}/full'"
    expected = why if kind == "targets" else f"{small}/full: could not be written: "
    assert line.startswith(f"asrkd: error: {expected}"), line
