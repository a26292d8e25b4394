from collections.abc import Callable
from pathlib import Path

import pytest

from asrkd import tools
from asrkd.errors import UserError

LOCATE = [
    (tools.k2_python, "ASRKD_K2_PYTHON", ".venv-k2/bin/python"),
    (tools.lmplz, "ASRKD_LMPLZ", ".tools/bin/lmplz"),
]


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package in a folder without environments, the current folder and the PATH empty."""
    for _, variable, _ in LOCATE:
        monkeypatch.delenv(variable, raising=False)
    for name in ("clone", "here", "path"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tools, "__file__", str(tmp_path / "clone" / "asrkd" / "tools.py"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


@pytest.mark.parametrize(("locate", "variable", "made"), LOCATE)
def test_the_variable_comes_first(
    locate: Callable[[], Path], variable: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "clone" / made)
    monkeypatch.setenv(variable, str(program(tmp_path / "mine")))
    assert locate() == tmp_path / "mine"


@pytest.mark.parametrize(("locate", "variable", "made"), LOCATE)
def test_a_relative_name_is_made_absolute_and_a_link_kept(
    locate: Callable[[], Path], variable: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "link").symlink_to(program(tmp_path / "real"))
    monkeypatch.setenv(variable, "link")
    assert locate() == tmp_path / "here" / "link"


@pytest.mark.parametrize(("locate", "variable", "made"), LOCATE)
def test_the_clone_comes_before_the_current_folder(
    locate: Callable[[], Path], variable: str, made: str, tmp_path: Path
) -> None:
    program(tmp_path / "here" / made)
    assert locate() == tmp_path / "here" / made
    program(tmp_path / "clone" / made)
    assert locate() == tmp_path / "clone" / made


def test_lmplz_on_the_path_comes_last(tmp_path: Path) -> None:
    program(tmp_path / "path" / "lmplz")
    assert tools.lmplz() == tmp_path / "path" / "lmplz"
    program(tmp_path / "clone" / ".tools/bin/lmplz")
    assert tools.lmplz() == tmp_path / "clone" / ".tools/bin/lmplz"


@pytest.mark.parametrize(("locate", "variable", "made"), LOCATE)
def test_nothing_there_names_the_places_and_what_mends_it(
    locate: Callable[[], Path], variable: str, made: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="make setup") as error:
        locate()
    for part in (str(tmp_path / "clone" / made), str(tmp_path / "here" / made), variable):
        assert part in str(error.value)


@pytest.mark.parametrize(("locate", "variable", "made"), LOCATE)
def test_a_wrong_variable_is_no_fallback(
    locate: Callable[[], Path], variable: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "clone" / made)
    for named in (tmp_path / "none", program(tmp_path / "text", mode=0o644), tmp_path):
        monkeypatch.setenv(variable, str(named))
        with pytest.raises(UserError, match=f"{variable}={named}"):
            locate()
