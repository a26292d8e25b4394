import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from asrkd import doctor


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], str]:
    """A shell script as an executable file."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def no_k2_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkd.decode.interpreter.k2_in_process", lambda: False)


def test_a_machine_that_was_set_up_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run_doctor() == 0
    printed = capsys.readouterr().out
    for name in ("Python", "torch", "lhotse", "kenlm", "jiwer", "kaldi_decoder", "k2", "lmplz", "corpora", "disk"):
        assert name in printed
    assert "to mend it" not in printed


@pytest.mark.usefixtures("no_k2_here")
def test_a_broken_k2_python_is_named_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = script("python", "echo 'ImportError: libk2.so' >&2; exit 1")
    monkeypatch.setenv("ASRKD_K2_PYTHON", broken)
    assert doctor.run_doctor() == 1
    assert "k2 does not work; to mend it: set ASRKD_K2_PYTHON to one that works" in capsys.readouterr().out
    state = doctor._k2().state
    assert broken in state
    assert "ImportError: libk2.so" in state


@pytest.mark.usefixtures("no_k2_here")
def test_a_k2_that_searches_wrongly_does_not_count(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], str]
) -> None:
    answer = json.dumps(["1.23.4", "1.13.1", -0.6])
    monkeypatch.setenv("ASRKD_K2_PYTHON", script("python", f"echo '{answer}'"))
    found = doctor._k2()
    assert found.mend
    assert "-0.600" in found.state


@pytest.mark.usefixtures("no_k2_here")
def test_without_a_k2_python_make_setup_mends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASRKD_K2_PYTHON", raising=False)
    monkeypatch.setattr("asrkd.tools.__file__", str(tmp_path / "asrkd" / "tools.py"))
    monkeypatch.chdir(tmp_path)
    assert doctor._k2().mend == "rm -rf .venv-k2 && make setup"


@pytest.mark.parametrize(
    ("text", "state"), [("echo usage; exit 0", "no ARPA model"), ("kill -9 $$", "exit code -9"), ("exit 1", "code 1")]
)
def test_a_broken_lmplz_is_named(
    text: str, state: str, monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], str]
) -> None:
    monkeypatch.setenv("ASRKD_LMPLZ", script("lmplz", text))
    found = doctor._lmplz()
    assert state in found.state
    assert "ASRKD_LMPLZ" in found.mend


def test_a_library_that_does_not_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "of_another_build.py").write_text("raise OSError('libc10_cuda.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, reason in (("of_another_build", "libc10_cuda.so"), ("not_installed_at_all", "No module named")):
        found = doctor._library(name)
        assert reason in found.state
        assert found.mend == "rm -rf .venv && make setup"
        with monkeypatch.context() as installed:
            installed.setattr(sys, "prefix", str(tmp_path))
            assert doctor._library(name).mend == f"{sys.executable} -m pip install {name}"


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], str]) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    monkeypatch.setenv("ASRKD_LMPLZ", script("lmplz", "exec sleep 5"))
    assert "no answer" in doctor._lmplz().state


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    assert "make room" in doctor._disk().mend


def test_prepared_corpora_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert "none prepared" in doctor._corpora().state
    cuts = tmp_path / "exp" / "prompts" / "corpus" / "train.jsonl.gz"
    cuts.parent.mkdir(parents=True)
    cuts.touch()
    assert doctor._corpora().state == "prepared: prompts"
