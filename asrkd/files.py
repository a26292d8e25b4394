"""Files: written whole or not at all, read with an error that names them, hashed."""

from __future__ import annotations  # the k2 interpreter may be Python 3.8

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrkd.errors import UserError

if TYPE_CHECKING:
    import numpy as np

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what `replacing` and the soft-target store name theirs


@contextmanager
def replacing(path: Path, name: str = "") -> Iterator[Path]:
    """A temporary path beside `path` to write to; on success it is flushed and renamed, on failure removed.

    name: what it is called after in place of the path, by which to find it after a kill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{name or path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None:
            raise
        # A write that fails, on a full disk most often, does not say to which file.
        raise UserError(f"{path}: could not be written: {error}; free space there and call again") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_npy(path: Path, array: np.ndarray[Any, Any]) -> None:
    import numpy as np

    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def read_json(path: Path) -> Any:
    """Raises UserError when the file is missing or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: expected JSON, found {error}; delete {path.parent} and run its stage again") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Raises UserError when the file is missing or a line is no JSON."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the stage that makes it")
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: expected JSON, found {error}; delete {path.parent}") from None
    return rows


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hash_stream(iter(lambda: file.read(1 << 20), b""))


def hash_stream(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def hash_value(value: Any) -> str:
    """Of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
