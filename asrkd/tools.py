"""Where the programs outside this interpreter are: lmplz, and the Python that has k2."""

import os
import shutil
from pathlib import Path

from asrkd.errors import UserError


def k2_python() -> Path:
    """The interpreter with k2: $ASRKD_K2_PYTHON, else the one that `make setup` made. Raises UserError without one."""
    return _find("ASRKD_K2_PYTHON", "a Python with k2", Path(".venv-k2/bin/python"))


def lmplz() -> Path:
    """KenLM's estimator: $ASRKD_LMPLZ, else the one that `make setup` built, else the PATH's.

    Raises UserError without one.
    """
    return _find("ASRKD_LMPLZ", "KenLM's lmplz", Path(".tools/bin/lmplz"), on_path="lmplz")


def _find(variable: str, what: str, made: Path, on_path: str | None = None) -> Path:
    """`made` is what `make setup` makes, relative to the folder that it is called in."""
    named = os.environ.get(variable)
    if named:
        if not _is_program(Path(named)):
            raise UserError(f"{variable}={named}: expected {what}, found no such program; set it right or unset it")
        return Path(named).absolute()  # not resolved: an environment's Python is a link, and works by its place
    roots = [Path(__file__).resolve().parents[1], Path.cwd()]
    for root in roots:
        if _is_program(root / made):
            return root / made
    found = shutil.which(on_path) if on_path else None
    if found is None:
        looked = " and ".join(str(root / made) for root in dict.fromkeys(roots))
        raise UserError(f"{what}: expected at {looked}, found none; run: make setup (or name yours with {variable})")
    return Path(found)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
