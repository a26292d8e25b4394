"""An experiment folder: its lock, and the stamps that let a step be skipped, resumed or redone.

A step writes into a folder of its own. Its `stamp.json` holds the config and the inputs it was begun with and, once it
is finished, the hashes of what it made. From that, the next call knows: finished (skip), begun with the same config and
inputs (resume), or stale (say what changed, empty the folder, start again). A step's identity is the hash of its
outputs, so a step that is redone and comes out the same leaves what depends on it in peace.
"""

import json
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from asrkd.config import Config, section, with_newer_keys
from asrkd.errors import UserError
from asrkd.files import TEMPORARY, hash_file, hash_value, read_json, write_json

STAMP = "stamp.json"
LONG_LIST = 20  # items, more than which no message repeats


def identity(folder: Path, made_by: str) -> str:
    """The hash of what a finished step made.

    Raises UserError when the step has not been finished, naming the stage that does (`made_by`), when a file that it
    made is gone or has another size, or when something that it was made from has been made anew since.
    """
    stamp = _read_stamp(folder)
    if stamp is None or stamp["state"] != "finished":
        raise UserError(f"{folder}: not there yet; {made_by} makes it (run.sh --stage {made_by.split()[-1]})")
    damaged = _damaged(folder, stamp)
    if damaged:
        raise UserError(f"{folder / damaged}: missing or altered since {made_by} wrote it; run {made_by} again")
    older = _older_input(folder, stamp)
    if older:
        raise UserError(
            f"{folder}: made from another {older} than the one that is there now; run the stages from that one on "
            f"(run.sh --stage N does it and all after it)"
        )
    return str(stamp["identity"])


def expect_settings(folder: Path, made_by: str, config: Config, own: Mapping[str, Any] | None = None) -> None:
    """Raises UserError when a finished step was made with other settings than those of now, naming the first of them.

    own: settings that are the step's, in place of the config's sections of that name. Only what its stamp tells is
    compared.
    """
    stamp = _read_stamp(folder) or {"config": {}}
    now = {name: value for name in stamp["config"] for value in _values(config, name)} | dict(own or {})
    was = {name: value for name, value in stamp["config"].items() if name in now}
    differing = differences(was, {name: now[name] for name in was})
    if differing:
        key, (old, new) = next(iter(differing.items()))
        raise UserError(
            f"{folder}: made with {key}={old}, and by the config it is {new}; run {made_by} again (run.sh --stage "
            f"{made_by.split()[-1]}), or set the config back"
        )


def expect_unchanged(folder: Path, made_by: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Raises UserError when a step was made with another config or from other inputs than these, which are all it has
    by now, naming the first change."""
    stamp = _read_stamp(folder)
    changes = _changes(stamp, config, inputs) if stamp else []
    if changes:
        raise UserError(
            f"{folder}: {changes[0]} since it was made; run {made_by} again (run.sh --stage {made_by.split()[-1]}), or "
            "set the config back"
        )


def made_of(folder: Path) -> dict[str, str]:
    """Name -> identity of what a step was made from; nothing where it was not made."""
    stamp = _read_stamp(folder)
    return dict(stamp["inputs"]) if stamp else {}


@contextmanager
def locked(exp: Path) -> Iterator[None]:
    """Hold the experiment folder for this process; the system lets go of it when the process dies.

    Raises UserError when another call holds it.
    """
    import fcntl

    exp.mkdir(parents=True, exist_ok=True)
    with open(exp / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            why = "another asrkd is at work in this experiment; wait for it, or name another --exp"
            raise UserError(f"{exp}: {why}") from None
        yield


class Step:
    """One unit of work with a folder and a stamp.

    step = Step(exp / "features" / "train", made_by="stage 1", config=section(config, "features"),
                inputs={"data": identity(exp / "data", "stage 0")}, force=force)
    if step.begin():            # False: finished already
        ...write into step.folder, resuming from what is there...
        step.finish(["frames.npy", "utterances.jsonl"])
    """

    def __init__(
        self, folder: Path, *, made_by: str, config: Mapping[str, Any], inputs: Mapping[str, str], force: bool = False
    ) -> None:
        self.folder = folder
        self.made_by = made_by
        self.force = force
        # Through JSON, so that what is compared with a stamp on disk has gone through it too (tuples become lists).
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        self.inputs = dict(inputs)
        self.started = time.monotonic()

    def begin(self) -> bool:
        """Whether there is work to do. Empties the folder when what is there was made from something else.

        Raises UserError when the folder holds files and no stamp: they are not asrkd's to delete.
        """
        stamp = _read_stamp(self.folder)
        if stamp is not None:
            changed = _changes(stamp, self.config, self.inputs)
            if self.force:
                changed = ["--force was given"]
            elif stamp["state"] == "stale":
                changed = ["a call was killed while it emptied the folder"]
            elif not changed and stamp["state"] == "finished":
                damaged = _damaged(self.folder, stamp)
                if not damaged:
                    print(f"{self.folder}: finished, skipped", flush=True)
                    return False
                changed = [f"{damaged} is missing or altered"]
            if changed:
                print(f"{self.folder}: done again, since {'; '.join(changed)}", flush=True)
                self._empty()
            else:
                print(f"{self.folder}: begun before, resumed", flush=True)
        elif _holds_files_of_others(self.folder):
            raise UserError(
                f"{self.folder}: expected a folder that asrkd made, or none, found one without {STAMP}; move or delete "
                "it, or name another --exp"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.rglob(".*.tmp"):  # of a call that was killed: the experiment is this call's alone
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
        write_json(self.folder / STAMP, {"state": "begun", "config": self.config, "inputs": self.inputs})
        return True

    def is_current(self) -> bool:
        """Whether it is finished, of this config and these inputs: there would be no work to do but by force."""
        stamp = _read_stamp(self.folder)
        if stamp is None or stamp["state"] != "finished":
            return False
        return not _changes(stamp, self.config, self.inputs) and not _damaged(self.folder, stamp)

    def is_finished(self) -> bool:
        """For a job that may be run a second time, since another one's worker was killed: whether the first time was
        enough."""
        stamp = _read_stamp(self.folder)
        return stamp is not None and stamp["state"] == "finished"

    def _empty(self) -> None:
        """Remove all but the stamp, which says so first: a folder that a kill leaves half empty is known as asrkd's."""
        write_json(self.folder / STAMP, {"state": "stale", "config": self.config, "inputs": self.inputs})
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != STAMP:
                path.unlink()

    def finish(self, outputs: Iterable[str], **notes: Any) -> None:
        """Record the hashes of `outputs` (paths inside the folder) and mark the step as finished."""
        made = {
            name: {"bytes": (self.folder / name).stat().st_size, "sha256": hash_file(self.folder / name)}
            for name in sorted(outputs)
        }
        stamp = {
            "state": "finished",
            "config": self.config,
            "inputs": self.inputs,
            "outputs": made,
            "identity": hash_value({name: file["sha256"] for name, file in made.items()}),
            "seconds": round(time.monotonic() - self.started, 1),
            "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
            "versions": versions(),
            **notes,
        }
        write_json(self.folder / STAMP, stamp)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("asrkd", "torch", "numpy", "lhotse", "kenlm"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read_stamp(folder: Path) -> dict[str, Any] | None:
    path = folder / STAMP
    if not path.is_file():
        return None
    stamp = read_json(path)
    if not isinstance(stamp, dict) or not {"state", "config", "inputs"} <= stamp.keys():
        raise UserError(f"{path}: not a stamp of asrkd; delete {folder} to make it again")
    return stamp


def _holds_files_of_others(folder: Path) -> bool:
    """Of a folder without a stamp: whether there is more in it than a call leaves that dies before its first write."""
    if not folder.is_dir():
        return folder.exists()
    return any(not TEMPORARY.fullmatch(path.name) for path in folder.iterdir())


def _values(config: Config, name: str) -> list[Any]:
    """What the config has of that name, if it has anything: `train`, `distill.top_k`."""
    try:
        return list(section(config, name).values())
    except (KeyError, TypeError):
        return []


def _older_input(folder: Path, stamp: Mapping[str, Any]) -> str | None:
    """The first input, at any depth, that is not what the step was made from.

    An input's name is its folder in the experiment; the nearest folder of that name is meant. Files of the user have
    other names, and are compared when the step is called.
    """
    for name, was in stamp["inputs"].items():
        named = (parent / name for parent in folder.parents if parent / name != folder)
        found = next((other for other in named if (other / STAMP).is_file()), None)
        if found is None:
            continue
        own = _read_stamp(found)
        if own is None or own.get("identity") != was:
            return str(name)
        deeper = _older_input(found, own)
        if deeper:
            return deeper
    return None


def _damaged(folder: Path, stamp: Mapping[str, Any]) -> str | None:
    for name, file in stamp["outputs"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != file["bytes"]:
            return str(name)
    return None


def _changes(stamp: Mapping[str, Any], config: Mapping[str, Any], inputs: Mapping[str, str]) -> list[str]:
    """What differs, in words: `features.dtype was float16, is float32`."""
    differing = differences(stamp["config"], config)
    changes = [f"{key} was {_brief(was)}, is {_brief(now)}" for key, (was, now) in differing.items()]
    old = stamp["inputs"]
    changes += [f"the input {key} changed" for key in sorted(old.keys() | inputs) if old.get(key) != inputs.get(key)]
    return changes


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Of a stamp's config and that of now: features.dtype -> (float16, float32), where they are not the same."""
    old, new = _flat(with_newer_keys(was)), _flat(now)
    changed = (key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))
    return {key: (old.get(key), new.get(key)) for key in changed}


def _brief(value: Any) -> Any:
    """The speakers that a fold leaves out may be thousands."""
    return f"a list of {len(value)}" if isinstance(value, list) and len(value) > LONG_LIST else value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
