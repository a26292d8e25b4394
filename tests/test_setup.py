"""local/setup.sh in a copy of the clone, with an interpreter that records what it is asked for and installs nothing."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Setup = Callable[..., "subprocess.CompletedProcess[str]"]

# Makes "environments" whose Python is this script again; a pip whose arguments hold $BROKEN fails as without a network.
INTERPRETER = """#!/bin/bash
version=3.11
case "$1 $2" in
  "--version "*) echo "Python $version.0" ;;
  "-c "*get_python_version*) echo $version ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip")
    echo "$*" >> "$CALLS"
    if [[ -n $BROKEN && $* == *$BROKEN* ]]; then
      echo "ERROR: No matching distribution found for torch==2.11.0" >&2
      exit 1
    fi ;;
esac
"""
BUILD = """#!/bin/bash
echo build_kenlm >> "$CALLS"
mkdir -p .tools/bin .tools/wheels
touch .tools/bin/lmplz .tools/wheels/kenlm-0.3.0-any.whl
chmod +x .tools/bin/lmplz
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    for folder in ("local", "requirements"):
        shutil.copytree(ROOT / folder, clone / folder)
    shutil.copy(ROOT / "pyproject.toml", clone)
    executable(clone / "local" / "build_kenlm.sh", BUILD)
    executable(tmp_path / "python", INTERPRETER)
    executable(tmp_path / "c++", "#!/bin/sh\nexit 0\n")
    return clone


@pytest.fixture
def setup(clone: Path, tmp_path: Path) -> Setup:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYENV", "VIRTUAL_ENV"))}

    def run(**variables: object) -> subprocess.CompletedProcess[str]:
        changed = {
            "HOME": tmp_path,
            "PYTHON": tmp_path / "python",
            "CXX": tmp_path / "c++",
            "CALLS": tmp_path / "calls",
            "BROKEN": "",
        }
        environment = plain | {name: str(value) for name, value in (changed | variables).items()}
        script = ["/bin/bash", str(clone / "local" / "setup.sh")]
        return subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """What was installed since the last look: the ends of pip's arguments."""

    def read() -> list[str]:
        path = tmp_path / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return [line.split()[-1].rpartition("/")[2] for line in lines]

    return read


EVERYTHING = {"main.lock", "k2.lock", "build_kenlm", "kenlm-0.3.0-any.whl", "dev.lock", "."}


def test_each_part_is_made_once(setup: Setup, calls: Callable[[], list[str]]) -> None:
    first = setup()
    assert first.returncode == 0, first.stderr
    assert "9 GB" in first.stdout
    assert "minutes" in first.stdout
    made = calls()
    assert sorted(made) == sorted(EVERYTHING)
    assert made.index("kenlm-0.3.0-any.whl") > max(made.index("main.lock"), made.index("build_kenlm"))

    begun = time.perf_counter()
    second = setup()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert time.perf_counter() - begun < 2
    assert calls() == []


def test_another_python_makes_anew_what_fits_one_version(
    setup: Setup, calls: Callable[[], list[str]], tmp_path: Path
) -> None:
    assert setup().returncode == 0
    calls()
    other = executable(tmp_path / "other", INTERPRETER.replace("version=3.11", "version=3.10"))
    assert setup(PYTHON=other).returncode == 0
    assert set(calls()) == EVERYTHING - {"k2.lock"}
    done = setup(PYTHON="")  # the one that .venv has by now
    assert (done.returncode, done.stdout) == (0, "") and calls() == []


@pytest.mark.parametrize(
    ("changed", "made"),
    [
        ("requirements/dev.lock", {"dev.lock"}),
        ("requirements/k2.lock", {"k2.lock"}),
        ("requirements/main.lock", {"main.lock", "kenlm-0.3.0-any.whl", "dev.lock", "."}),
        ("requirements/tools.lock", {"build_kenlm", "kenlm-0.3.0-any.whl"}),
        ("pyproject.toml", {"."}),
    ],
)
def test_a_changed_lock_redoes_what_was_made_from_it(
    changed: str, made: set[str], setup: Setup, calls: Callable[[], list[str]], clone: Path
) -> None:
    assert setup().returncode == 0
    calls()
    with (clone / changed).open("a") as file:
        file.write("# changed\n")
    assert setup().returncode == 0
    assert sorted(calls()) == sorted(made)


@pytest.mark.parametrize("removed", [".venv", ".venv-k2", ".tools"])
def test_what_was_removed_is_made_again(
    removed: str, setup: Setup, calls: Callable[[], list[str]], clone: Path
) -> None:
    assert setup().returncode == 0
    shutil.rmtree(clone / removed)
    calls()
    assert setup().returncode == 0
    assert 0 < len(calls()) < len(EVERYTHING)
    assert setup().stdout == ""


def test_without_a_registry_the_error_says_so_and_the_next_call_completes(
    setup: Setup, calls: Callable[[], list[str]], clone: Path
) -> None:
    failed = setup(BROKEN="dev.lock")
    assert failed.returncode == 1
    assert "No matching distribution found for torch" in failed.stderr
    assert "no package registry was reached" in failed.stderr
    assert "pip config list" in failed.stderr
    assert not (clone / ".tools" / "tmp").exists()
    calls()
    assert setup().returncode == 0
    assert sorted(calls()) == [".", "dev.lock"]


def test_a_killed_part_is_made_from_nothing(setup: Setup, clone: Path) -> None:
    assert setup(BROKEN="main.lock").returncode == 1
    half = clone / ".venv" / "half-installed"
    half.touch()
    assert setup().returncode == 0
    assert not half.exists()


def test_no_suitable_python(setup: Setup, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("awk", "bash", "cat", "df", "dirname", "flock", "grep", "mkdir", "sha256sum", "tail", "uname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    none = setup(PYTHON="", PATH=programs)
    assert none.returncode == 1
    assert "no suitable Python: 3.10 or 3.11 is needed" in none.stderr
    assert "make setup PYTHON=" in none.stderr

    executable(programs / "python3", '#!/bin/bash\n[[ $2 == pass ]] || { echo "is Python 3.13"; exit 1; }\n')
    assert "python3 is Python 3.13" in setup(PYTHON="", PATH=programs).stderr
    assert "/no/python does not run" in setup(PYTHON="/no/python").stderr


def test_no_compiler(setup: Setup, tmp_path: Path) -> None:
    broken = executable(tmp_path / "broken", "#!/bin/sh\nexit 1\n")
    failed = setup(CXX=broken)
    assert failed.returncode == 1
    assert f"no C++ compiler works here (tried: {broken})" in failed.stderr
    assert "apt-get install g++" in failed.stderr


def test_too_little_disk(setup: Setup, tmp_path: Path, calls: Callable[[], list[str]]) -> None:
    executable(tmp_path / "bin" / "df", "#!/bin/sh\necho head; echo disk 20000 17000 3000 85% /\n")
    failed = setup(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert failed.returncode == 1
    assert "too little disk" in failed.stderr
    assert "3 GB are free" in failed.stderr
    assert calls() == []
