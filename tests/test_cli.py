"""The command line and the recipes' shell: what they print, refuse and remember."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.corpus.cuts import read_cuts

ROOT = Path(__file__).parents[1]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asrkd", *map(str, arguments)], check=False, capture_output=True, text=True
    )


def recipe(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", ROOT / "recipes" / name / "run.sh", *map(str, arguments)], check=False, capture_output=True, text=True
    )


def test_help_lists_the_steps_in_order_and_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['lhotse'] = None; sys.argv[1:] = ['--help']\n"
        "from asrkd.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [
        "data ",
        "features ",
        "lang ",
        "align ",
        "train ",
        "soft-targets ",
        "distil ",
        "graph ",
        "decode ",
        "report ",
    ]
    places = [done.stdout.index(f"  {name}") for name in names]
    assert places == sorted(places)


def test_configure_writes_and_remembers(tmp_path: Path) -> None:
    assert call("configure", tmp_path / "e", "ensemble.members=3").returncode == 0
    assert call("configure", tmp_path / "e", "model.hidden_size=64").returncode == 0
    text = (tmp_path / "e" / "config.yaml").read_text()
    assert "members: 3" in text and "hidden_size: 64" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "{tmp}"], "not an experiment (no config.yaml)"),
        (["configure", "{tmp}/e", "modl.x=1"], "modl"),
        (["configure", "{tmp}/e", "--conf", "{tmp}/no.yaml"], "no.yaml: no such config file"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = call(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.startswith("asrkd: error: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("configure", tmp_path / "file" / "e")
    assert done.returncode == 1 and "Not a directory" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["librispeech", "prompts"])
def test_recipe_help_lists_stages_and_options(name: str) -> None:
    done = recipe(name, "--help")
    assert done.returncode == 0
    for expected in ("--stage N", "--stop-stage N", "10 score and report", "--exp DIR", "section.key=value"):
        assert expected in done.stdout
    assert "source" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bad", "3"], "--bad: unknown option; --help lists the options"),
        (["--stage"], "--stage: expected a value"),
        (["--stage", "five"], "expected numbers"),
        (["--stage", "7", "--stop-stage", "3"], "stage <= stop-stage"),
        (["--root", "/"], "--root: unknown option"),
        (["bare"], "bare: expected --option VALUE"),
    ],
)
def test_recipe_refuses(arguments: list[str], message: str) -> None:
    done = recipe("librispeech", *arguments)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1


def corpus(folder: Path, *subsets: str) -> Path:
    """LibriSpeech's layout with an utterance of its own for each subset."""
    for number, subset in enumerate(subsets, 1):
        chapter = folder / subset / str(number) / "1"
        chapter.mkdir(parents=True)
        soundfile.write(chapter / f"{number}-1-0000.flac", np.zeros(16000, dtype=np.float32), 16000)
        (chapter / f"{number}-1.trans.txt").write_text(f"{number}-1-0000 A WORD\n")
    return folder


def test_a_recipe_remembers_its_corpus(tmp_path: Path) -> None:
    exp, last = tmp_path / "e", ("--stop-stage", 0)
    speech = corpus(tmp_path / "speech", "a", "b", "c", "d")
    done = recipe(
        "librispeech", "--exp", exp, "--corpus-dir", speech, "--train", "a", "--dev", "b", "--test", "c", *last
    )
    assert done.returncode == 0, done.stderr
    made = (exp / "corpus" / "train.jsonl.gz").stat().st_mtime_ns
    assert "finished, skipped" in recipe("librispeech", "--exp", exp, *last).stdout
    assert (exp / "corpus" / "train.jsonl.gz").stat().st_mtime_ns == made
    done = recipe("librispeech", "--exp", exp, "--test", "d", *last)
    assert done.returncode == 0, done.stderr
    assert [cut.id for cut in read_cuts(exp / "data" / "test.jsonl.gz")] == ["4-1-0000"]
    assert [cut.id for cut in read_cuts(exp / "data" / "train.jsonl.gz")] == ["1-1-0000"]


def test_a_recipe_takes_cut_sets_of_the_users_own(tmp_path: Path) -> None:
    speech = corpus(tmp_path / "speech", "a", "b", "c")
    options = ["--corpus-dir", speech, "--train", "a", "--dev", "b", "--test", "c", "--stop-stage", 0]
    assert recipe("librispeech", "--exp", tmp_path / "first", *options).returncode == 0
    cuts = [f"data.{split}={tmp_path}/first/corpus/{split}.jsonl.gz" for split in ("train", "dev", "test")]
    for more in (cuts, []):  # the second call is told nothing
        done = recipe("librispeech", "--exp", tmp_path / "e", "--stop-stage", 0, *more)
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "e" / "corpus").exists()
    assert (tmp_path / "e" / "data" / "train.jsonl.gz").is_file()


def test_without_the_recipes_packages_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None\nfrom asrkd.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "asrkd: error: the command line needs click; pip install 'asrkd[recipes]'\n"


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    done = recipe("librispeech", "--exp", tmp_path / "e", "--stage", 8)
    assert done.returncode == 1
    assert "stage" in done.stderr and "--stage 2" in done.stderr and "Traceback" not in done.stderr


def test_no_corpus_is_one_line(tmp_path: Path) -> None:
    done = recipe(
        "librispeech", "--exp", tmp_path / "e", "--corpus-dir", tmp_path / "none", "--train", "a", "--stop-stage", 0
    )
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr and "--corpus-dir" in done.stderr and "Traceback" not in done.stderr
