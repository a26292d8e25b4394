import sys
from pathlib import Path

import pytest

from asrkd.decode.interpreter import run_in, run_with
from asrkd.errors import UserError

MODULE = """
import os, sys
from asrkd.decode.interpreter import command
from asrkd.errors import UserError

def main(arguments):
    print("begun with", *arguments, flush=True)
    if arguments[0] == "user":
        raise UserError("lm.arpa: expected a model; make one")
    if arguments[0] == "crash":
        raise ValueError("no such thing")
    if arguments[0] == "kill":
        os.kill(os.getpid(), 9)
    print("threads", os.environ["OMP_NUM_THREADS"])

command(main, sys.argv[1:])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_command.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "some_command"


def run(module: str, how: str) -> None:
    run_in(Path(sys.executable), module, [how])


def test_output_passes_through(module: str, capfd: pytest.CaptureFixture[str]) -> None:
    run(module, "well")
    assert capfd.readouterr().out == "begun with well\nthreads 1\n"


def test_a_user_error_comes_back_as_one(module: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="^lm.arpa: expected a model; make one$"):
        run(module, "user")
    assert capfd.readouterr().out == "begun with user\n"


def test_a_failure_shows_its_last_lines(module: str) -> None:
    with pytest.raises(UserError, match=r"(?s)some_command failed .*exit code 1.*ValueError: no such thing"):
        run(module, "crash")


def test_a_killed_process_is_named(module: str) -> None:
    with pytest.raises(UserError, match=r"(?s)exit code -9, killed: out of memory\?.*begun with kill"):
        run(module, "kill")


def test_no_interpreter(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a Python with k2, found No such file or directory; make setup"):
        run_in(tmp_path / "python", "some_command", [])


def test_without_k2_the_other_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkd.decode.interpreter.k2_in_process", lambda: False)
    monkeypatch.setenv("ASRKD_K2_PYTHON", str(tmp_path / "python"))
    with pytest.raises(UserError, match="ASRKD_K2_PYTHON=.*/python: expected a Python with k2.*: --decoder kaldi"):
        run_with("k2", "search", tmp_path / "job.json")


def test_without_kaldis_packages_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaldi_decoder", None)
    monkeypatch.delitem(sys.modules, "asrkd.decode.kaldi_search", raising=False)
    with pytest.raises(UserError, match="expected the packages kaldi-decoder and kaldifst, found .*; pip install"):
        run_with("kaldi", "search", tmp_path / "job.json")
