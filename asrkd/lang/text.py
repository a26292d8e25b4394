"""Text files of one sentence, word or entry a line, plain or compressed with gzip."""

import gzip
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from asrkd.errors import UserError

MARK = "\ufeff"  # with which some editors begin a file; no part of the first word


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end), streamed. Compression is told by the content, not by the name.

    Lines are in Unicode's form NFC, as stage 0 has the transcripts: one letter with a mark is one word's spelling,
    whether an editor or a file system wrote it as one character or as two.

    Raises UserError when the file is missing, is damaged gzip, or is not UTF-8.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: expected a text file (plain or gzip), found {'a folder' if path.is_dir() else 'none'}"
        )
    number = 0
    with gzip.open(path, "rb") if is_gzip(path) else open(path, "rb") as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, unicodedata.normalize("NFC", line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError:
            raise UserError(
                f"{path}, line {number}: expected UTF-8 text, found other bytes; convert it, from Latin-1 for example "
                f"with: iconv -f latin1 -t utf-8 {path} > NEW"
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"{path}: expected a whole gzip file, found: {error} (after line {number})") from None


def sentences(path: Path) -> Iterator[str]:
    """The lines that have words, streamed, with one space between words."""
    for _, line in numbered_lines(path):
        words = line.removeprefix(MARK).split()
        if words:
            yield " ".join(words)


def is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
