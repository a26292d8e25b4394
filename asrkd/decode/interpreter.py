"""Where a decoder runs. Kaldi's runs in this process; so does k2 where it can be imported, else in the interpreter that
`make setup` made for it.

k2's wheels belong to one release of torch each, and training wants a newer one. The two interpreters exchange files
alone (npy and JSON).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from asrkd.errors import UserError
from asrkd.orphans import end_with

_USER_ERROR = 3  # exit code of a command that ended in a UserError
_LINES_KEPT = 15


def k2_in_process() -> bool:
    """Whether this interpreter can import k2."""
    try:
        import_module("k2")
    except ImportError:  # also a k2 that was built for another torch
        return False
    return True


def run_with(decoder: str, what: str, job: Path) -> None:
    """Build a graph ("hlg") or search in it ("search") as the JSON file `job` says, by "k2" or by "kaldi".

    Raises UserError when the decoder is not there or its step fails.
    """
    if decoder == "k2":
        run_under_k2(f"asrkd.decode.{what}", [str(job)])
        return
    try:
        module = import_module(f"asrkd.decode.kaldi_{what}")
    except ImportError as error:
        raise UserError(
            f"decode.decoder=kaldi: expected the packages kaldi-decoder and kaldifst, found {error}; "
            "pip install kaldi-decoder kaldifst"
        ) from None
    module.main([str(job)])


def run_under_k2(module: str, arguments: list[str]) -> None:
    """`module.main(arguments)` where k2 is; what it prints is passed through as it comes.

    Raises UserError as the module does, or with its last lines when it fails otherwise.
    """
    if k2_in_process():
        import_module(module).main(arguments)
        return
    from asrkd.tools import k2_python

    try:
        python = k2_python()
    except UserError as error:
        raise UserError(f"{error}, or decode without k2: --decoder kaldi") from None
    run_in(python, module, arguments)


def run_in(python: Path, module: str, arguments: list[str]) -> None:
    """`python -m module arguments`, one thread, with this package on its path."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    kept: deque[str] = deque(maxlen=_LINES_KEPT)
    try:
        process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise UserError(f"{python}: expected a Python with k2, found {error.strerror}; make setup") from None
    with process:
        if process.stdout is None:
            raise RuntimeError("Popen gave no pipe")
        for line in process.stdout:
            kept.append(line.rstrip())
            if not line.startswith(_MARK):
                print(line, end="", flush=True)
    if process.returncode == _USER_ERROR and kept and kept[-1].startswith(_MARK):
        raise UserError(kept[-1][len(_MARK) :])
    if process.returncode != 0:
        last = "\n".join(kept)
        raise UserError(
            f"{module} failed under {python} (exit code {process.returncode}"
            f"{', killed: out of memory?' if process.returncode == -9 else ''}); its last lines:\n{last}"
        )


_MARK = "asrkd-user-error: "


def command(main: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run `main` as a command of its own process, so that `run_in` can tell a UserError from a failure."""
    end_with(os.getppid())
    try:
        main(arguments)
    except UserError as error:
        print(f"{_MARK}{error}", flush=True)
        sys.exit(_USER_ERROR)
