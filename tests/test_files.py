"""Files: written whole or not at all, read with an error that names them, hashed."""

import hashlib
import os
from pathlib import Path

import pytest

from asrkd.errors import UserError
from asrkd.files import hash_file, read_json, read_jsonl, replacing, write_json, write_jsonl


def test_hash_is_sha256(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", 1)
    with pytest.raises(RuntimeError), replacing(tmp_path / "f.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "f.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]


def test_json_lines_round_trip_and_name_the_broken_line(tmp_path: Path) -> None:
    rows = [{"id": "ä", "n": 1}, {"id": "b", "n": 2}]
    write_jsonl(tmp_path / "f.jsonl", rows)
    assert read_jsonl(tmp_path / "f.jsonl") == rows
    text = (tmp_path / "f.jsonl").read_text()
    (tmp_path / "f.jsonl").write_text(text[:-5])
    with pytest.raises(UserError, match="line 2: expected JSON"):
        read_jsonl(tmp_path / "f.jsonl")
