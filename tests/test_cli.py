"""The command line and the recipes' shell: what they print, refuse and remember."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.corpus.cuts import read_cuts
from asrkd.settings import load_config

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
        (["value", "{tmp}", "data.train"], "not an experiment (no config.yaml)"),
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
        (["--root=/"], "--root=/: unknown option"),
        (["--force=yes"], "--force=yes: unknown option"),
        (["--stage", "9" * 20], "expected numbers"),
        (["--stage", "12"], "--stage 12 --stop-stage 12: expected 0 <= stage <= stop-stage <= 11"),
        (["--exp", ""], "--exp: expected a value after it, found ''"),
        (["--exp="], "--exp: expected a value after it, found ''"),
        (["--exp", "--force"], "--exp: expected a value after it, found '--force'"),
        (["--stage", "08", "--stop-stage=07"], "--stage 8 --stop-stage 7: expected"),
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
    for _ in range(2):
        assert f"{exp}/data: finished, skipped" in recipe("librispeech", "--exp", exp, *last).stdout
        speech = speech.rename(tmp_path / "gone")  # what is finished does not need it any more
    speech.rename(tmp_path / "speech")
    done = recipe("librispeech", "--exp", exp, "--test", "d", *last)
    assert done.returncode == 0, done.stderr
    assert [cut.id for cut in read_cuts(exp / "data" / "test.jsonl.gz")] == ["4-1-0000"]
    assert [cut.id for cut in read_cuts(exp / "data" / "train.jsonl.gz")] == ["1-1-0000"]


def test_a_changed_corpus_is_seen(tmp_path: Path) -> None:
    exp = tmp_path / "e"
    speech = corpus(tmp_path / "speech", "a", "b", "c")
    options = ["--corpus-dir", speech, "--train", "a", "--dev", "b", "--test", "c"]
    for more in (options, []):  # the second call is told nothing
        assert recipe("librispeech", "--exp", exp, "--stop-stage", 0, *more).returncode == 0
        cuts = read_cuts(exp / "data" / "train.jsonl.gz")
        assert [cut.supervisions[0].text for cut in cuts] == ["ANOTHER WORD" if more == [] else "A WORD"]
        (speech / "a" / "1" / "1" / "1-1.trans.txt").write_text("1-1-0000 ANOTHER WORD\n")


def test_a_corpus_that_was_begun_is_made_by_the_next_call(tmp_path: Path) -> None:
    """Beside some cut sets of its own there may be some of the one before, which is not taken for finished."""
    exp, last = tmp_path / "e", ("--stop-stage", 0)
    first = corpus(tmp_path / "first", "a", "b", "c")
    other = corpus(tmp_path / "other", "x", "y", "z", "a", "b", "c")
    subsets = ("--train", "a", "--dev", "b", "--test", "c")
    assert recipe("librispeech", "--exp", exp, "--corpus-dir", first, *subsets, *last).returncode == 0
    other.rename(tmp_path / "elsewhere")
    for more in (("--corpus-dir", other), ()):
        failed = recipe("librispeech", "--exp", exp, *more, *last)
        assert failed.returncode == 1 and f"{other}: " in failed.stderr
    (tmp_path / "elsewhere").rename(other)
    done = recipe("librispeech", "--exp", exp, *last)
    assert done.returncode == 0, done.stderr
    found = {split: [cut.id for cut in read_cuts(exp / "data" / f"{split}.jsonl.gz")] for split in ("train", "test")}
    assert found == {"train": ["4-1-0000"], "test": ["6-1-0000"]}
    assert sorted(path.name for path in (exp / "corpus").glob("options*")) == ["options"]


def test_the_specialists_are_asked_for(tmp_path: Path) -> None:
    """Stage 11 is none of those that a call without --stop-stage does, unless it begins with it."""
    # There is nothing to begin with: the first stage ends in an error.
    begun = {stage: recipe("librispeech", "--exp", tmp_path / "e", "--stage", stage).stdout for stage in (10, 11)}
    assert "stage 10" in begun[10] and "stage 11" not in begun[10]
    assert "stage 11: specialists" in begun[11] and "stage 10" not in begun[11]


def test_paths_may_hold_anything(tmp_path: Path) -> None:
    name = "q's: x #1, ä " + "long " * 22 + "end"  # YAML would quote it, end it at the # and fold it
    speech = corpus(tmp_path / name / "speech", "a", "b", "c")
    options = ["--corpus-dir", speech, "--train=a", "--dev", "b", "--test", "c", "--stop-stage=00"]
    done = recipe("librispeech", f"--exp={tmp_path / name / 'e'}", *options, f"lang.lm={tmp_path / name / 'lm'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name / "e" / "data" / "train.jsonl.gz").is_file()
    assert load_config(tmp_path / name / "e" / "config.yaml").lang.lm == str(tmp_path / name / "lm")


def test_what_an_option_set_can_be_unset(tmp_path: Path) -> None:
    options = ["--exp", tmp_path / "e", "--stage", 10]  # which fails, after the config is written
    recipe("librispeech", *options, "--lm", "x", "--lexicon", "y", "--lm-text", "z", "lang.rescore_lm=w")
    lang = load_config(tmp_path / "e" / "config.yaml").lang
    assert (lang.lm, lang.rescore_lm) == (str(Path("x").resolve()), str(Path("w").resolve()))
    recipe("librispeech", *options, "lang.lm=", "lang.lexicon=", "lang.lm_text=")
    lang = load_config(tmp_path / "e" / "config.yaml").lang
    assert (lang.lm, lang.lexicon, lang.lm_text) == ("", "", "")


@pytest.mark.parametrize("name", ["", ".", "..", "../../mine", "{tmp}/mine", "a,", "a,../b"])
def test_evaluate_keeps_to_the_experiment(tmp_path: Path, name: str) -> None:
    exp, mine = tmp_path / "e", tmp_path / "mine"
    corpus(tmp_path, "mine")
    assert call("configure", exp).returncode == 0
    before = sorted(tmp_path.rglob("*"))
    done = call("evaluate", exp, "--corpus-dir", tmp_path, "--test", name.format(tmp=tmp_path))
    assert done.returncode == 1
    assert "expected a plain name" in done.stderr and done.stderr.count("\n") == 1
    assert sorted({*tmp_path.rglob("*")} - {exp / ".lock"}) == sorted({*before} - {exp / ".lock"})
    assert mine.is_dir()


def test_evaluate_takes_several_subsets(tmp_path: Path) -> None:
    corpus(tmp_path / "speech", "a", "b")
    assert call("configure", tmp_path / "e").returncode == 0
    done = call("evaluate", tmp_path / "e", "--corpus-dir", tmp_path / "speech", "--test", "a,b")
    assert "stage 3 makes it" in done.stderr  # the cut set and its features are made, the experiment has no aligner
    cuts = read_cuts(tmp_path / "e" / "evaluate" / "a,b" / "cuts.jsonl.gz")
    assert [cut.id for cut in cuts] == ["1-1-0000", "2-1-0000"]


def test_value_prints_one_value_of_the_config(tmp_path: Path) -> None:
    assert call("configure", tmp_path, "data.train=a # b").returncode == 0
    assert call("value", tmp_path, "data.train").stdout == "a # b\n"
    for key in ("data.trian", "data.train.x"):
        assert f"{key}: no such value" in call("value", tmp_path, key).stderr


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
    assert done.stderr == "asrkd: error: the command line needs click; pip install '.[recipes]' in a clone of asrkd\n"


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
