import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkd.errors import UserError
from asrkd.lang.lexicon import read_lexicon
from asrkd.lang.text import sentences

TEXT = "ONE  TWO\r\n\n \t\nTHREE\u00a0Ä\n"


def test_plain_and_gzip_give_the_same_sentences(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT.encode())
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert list(sentences(tmp_path / "text")) == list(sentences(tmp_path / "text.gz")) == ["ONE TWO", "THREE Ä"]


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ONE W AH N\nTWO T UW\n", encoding="utf-8-sig")
    assert list(sentences(tmp_path / "text")) == ["ONE W AH N", "TWO T UW"]
    assert read_lexicon(tmp_path / "text")["ONE"] == [("W", "AH", "N")]


def test_one_letter_or_a_letter_and_its_mark_are_the_same_word(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("\u00c9T\u00c9 E T E\nE\u0301TE\u0301 E T\n", encoding="utf-8")
    assert list(sentences(tmp_path / "text")) == ["\u00c9T\u00c9 E T E", "\u00c9T\u00c9 E T"]
    assert read_lexicon(tmp_path / "text")["\u00c9T\u00c9"] == [("E", "T", "E"), ("E", "T")]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        list(sentences(tmp_path / "text"))


def test_latin1_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("ONE\nZWÖLF\n".encode("latin-1"))
    with pytest.raises(UserError, match="line 2: expected UTF-8"):
        list(sentences(tmp_path / "text"))


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-9], lambda whole: whole[:10] + b"\xff" * (len(whole) - 10)],
)
def test_damaged_gzip_is_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = gzip.compress("".join(f"{n} {n * n}\n" for n in range(1000)).encode())
    (tmp_path / "text.gz").write_bytes(damage(whole))
    with pytest.raises(UserError, match="expected a whole gzip file"):
        list(sentences(tmp_path / "text.gz"))
