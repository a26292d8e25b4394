"""The experiment folder: atomic writes, and stamps that skip, resume or redo."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from asrkd.config import TrainConfig
from asrkd.errors import UserError
from asrkd.experiment import Step, identity, locked
from asrkd.files import read_json


def make(folder: Path, content: str = "a", force: bool = False, **config: object) -> bool:
    step = Step(folder, made_by="stage 1", config=config, inputs={"data": "1234"}, force=force)
    if not step.begin():
        return False
    (folder / "out.txt").write_text(content)
    step.finish(["out.txt"])
    return True


def test_finished_step_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(tmp_path / "s", width=3)
    assert not make(tmp_path / "s", width=3)
    assert "finished, skipped" in capsys.readouterr().out


def test_stale_step_says_what_changed_and_is_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "s", model={"width": 3})
    (tmp_path / "s" / "rest").write_text("of the old run")
    assert make(tmp_path / "s", model={"width": 4})
    assert "model.width was 3, is 4" in capsys.readouterr().out
    assert not (tmp_path / "s" / "rest").exists()


def test_a_long_list_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "s", speakers=[f"s{n}" for n in range(300)], speeds=[1.0])
    make(tmp_path / "s", speakers=[f"s{n}" for n in range(200)], speeds=[0.9])
    assert "speakers was a list of 300, is a list of 200; speeds was [1.0], is [0.9]\n" in capsys.readouterr().out


def without(config: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in config.items() if name != key}


def test_a_newer_key_at_its_default_is_no_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole section that lacks a key was kept before there was that key."""
    now = asdict(TrainConfig())
    assert make(tmp_path / "s", train=without(now, "keep"), seed=1)
    assert not make(tmp_path / "s", train=now, seed=1)
    capsys.readouterr()
    assert make(tmp_path / "s", train={**now, "keep": "last"}, seed=1)
    assert "since train.keep was best, is last\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"train": asdict(TrainConfig())}, {"train": without(asdict(TrainConfig()), "keep")}),  # a key that went
        ({"train": {**asdict(TrainConfig()), "old": 0}}, {"train": asdict(TrainConfig())}),  # of another value, maybe
        ({"train": asdict(TrainConfig(epochs=3))}, {"train": asdict(TrainConfig())}),  # another value than the default
        ({}, {"train": asdict(TrainConfig())}),  # what did not depend on the section
        ({}, {"train.precision": "auto"}),  # nor on the key, which had whatever value
        ({"train": without(asdict(TrainConfig()), "keep")}, {"train": asdict(TrainConfig()), "seed": 0}),  # no config's
    ],
)
def test_what_did_change_is_a_change(tmp_path: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    make(tmp_path / "s", **was)
    assert make(tmp_path / "s", **now)


def test_what_is_current_needs_no_work(tmp_path: Path) -> None:
    def step(**config: object) -> Step:
        return Step(tmp_path / "s", made_by="stage 1", config=config, inputs={"data": "1234"})

    assert not step(width=3).is_current()
    step(width=3).begin()
    assert not step(width=3).is_current()  # begun
    make(tmp_path / "s", width=3)
    assert step(width=3).is_current() and not step(width=4).is_current()
    assert not Step(tmp_path / "s", made_by="stage 1", config={"width": 3}, inputs={"data": "another"}).is_current()
    (tmp_path / "s" / "out.txt").write_text("longer than before")
    assert not step(width=3).is_current()
    assert read_json(tmp_path / "s" / "stamp.json")["state"] == "finished"  # it changed nothing


def test_changed_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "s")
    step = Step(tmp_path / "s", made_by="stage 1", config={}, inputs={"data": "another"})
    assert step.begin()
    assert "the input data changed" in capsys.readouterr().out


def test_begun_step_is_resumed_with_its_files(tmp_path: Path) -> None:
    step = Step(tmp_path / "s", made_by="stage 1", config={}, inputs={})
    step.begin()
    (tmp_path / "s" / "half").write_text("done")
    again = Step(tmp_path / "s", made_by="stage 1", config={}, inputs={})
    assert again.begin()
    assert (tmp_path / "s" / "half").read_text() == "done"


def test_temporary_files_of_a_killed_call_are_removed(tmp_path: Path) -> None:
    step = Step(tmp_path / "s", made_by="stage 1", config={}, inputs={})
    step.begin()
    (tmp_path / "s" / "dev").mkdir()
    for name in (".half.123.tmp", "dev/.half.npy.123.tmp"):
        (tmp_path / "s" / name).write_text("half")
    assert Step(tmp_path / "s", made_by="stage 1", config={}, inputs={}).begin()
    assert sorted(path.name for path in (tmp_path / "s").rglob("*")) == ["dev", "stamp.json"]


@pytest.mark.parametrize("name", ["mine.txt", ".mine.tmp", "folder"])
def test_a_folder_of_the_users_own_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).mkdir() if name == "folder" else (tmp_path / "s" / name).write_text("x")
    for force in (False, True):
        with pytest.raises(UserError, match=r"s: expected a folder that asrkd made.*name another --exp"):
            make(tmp_path / "s", force=force)
    assert [path.name for path in (tmp_path / "s").iterdir()] == [name]


def test_a_file_in_the_place_of_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    with pytest.raises(UserError, match="s: expected a folder that asrkd made"):
        make(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "x"


def test_what_a_call_leaves_that_dies_before_its_first_write_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".stamp.json.123.tmp").write_text("{")
    assert make(tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["out.txt", "stamp.json"]


def test_a_call_killed_while_it_empties_a_folder_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step(tmp_path / "s", made_by="stage 1", config={}, inputs={"data": "1234"})
    step.begin()
    for name in ("a", "b"):  # a part of what was there must not be resumed from
        (tmp_path / "s" / name).mkdir()

    def killed(path: Path) -> None:
        path.rmdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "s", force=True)
    monkeypatch.undo()
    assert len(list((tmp_path / "s").iterdir())) == 2
    with pytest.raises(UserError, match="not there yet"):
        identity(tmp_path / "s", "stage 1")
    assert make(tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["out.txt", "stamp.json"]


def test_a_folder_on_another_disk_is_emptied_through_its_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "disk")
    make(tmp_path / "s", width=3)
    assert make(tmp_path / "s", content="b", width=4)
    assert (tmp_path / "disk" / "out.txt").read_text() == "b"


def test_force_and_damage_do_it_again(tmp_path: Path) -> None:
    make(tmp_path / "s")
    assert make(tmp_path / "s", force=True)
    (tmp_path / "s" / "out.txt").write_text("longer than before")
    assert make(tmp_path / "s")
    (tmp_path / "s" / "out.txt").unlink()
    assert make(tmp_path / "s")


def test_identity_is_that_of_the_outputs(tmp_path: Path) -> None:
    make(tmp_path / "s", content="a")
    first = identity(tmp_path / "s", "stage 1")
    make(tmp_path / "s", content="a", force=True)
    assert identity(tmp_path / "s", "stage 1") == first
    make(tmp_path / "s", content="b", force=True)
    assert identity(tmp_path / "s", "stage 1") != first


def test_identity_names_the_stage_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage 3 makes it .*--stage 3"):
        identity(tmp_path / "align", "stage 3")
    Step(tmp_path / "align", made_by="stage 3", config={}, inputs={}).begin()
    with pytest.raises(UserError, match="not there yet"):
        identity(tmp_path / "align", "stage 3")


def test_identity_refuses_what_was_made_from_an_older_input(tmp_path: Path) -> None:
    def step(name: str, content: str, inputs: dict[str, str]) -> None:
        made = Step(tmp_path / name, made_by="stage 1", config={"content": content}, inputs=inputs)
        if made.begin():
            (made.folder / "out.txt").write_text(content)
            made.finish(["out.txt"])

    step("align", "a", {"lm": "a hash"})
    step("models/one", "m", {"align": identity(tmp_path / "align", "stage 3")})
    step("targets", "t", {"models/one": identity(tmp_path / "models" / "one", "stage 4")})
    step("evaluate/other/align", "o", {"align": identity(tmp_path / "align", "stage 3")})
    for name in ("targets", "evaluate/other/align"):
        identity(tmp_path / name, "stage 5")
    step("align", "b", {"lm": "a hash"})
    identity(tmp_path / "align", "stage 3")
    for name in ("models/one", "targets", "evaluate/other/align"):
        with pytest.raises(UserError, match=f"{name}: made from another align than the one that is there now"):
            identity(tmp_path / name, "stage 5")


def test_identity_refuses_a_truncated_output(tmp_path: Path) -> None:
    make(tmp_path / "s")
    (tmp_path / "s" / "out.txt").write_text("")
    with pytest.raises(UserError, match=r"out\.txt: missing or altered since stage 1"):
        identity(tmp_path / "s", "stage 1")


def test_foreign_stamp_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stamp.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match="not a stamp"):
        Step(tmp_path, made_by="stage 1", config={}, inputs={}).begin()


def test_second_process_is_refused_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from asrkd.experiment import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('in', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(UserError, match="another asrkd"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):
        pass
