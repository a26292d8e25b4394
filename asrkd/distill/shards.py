"""One file of the soft-target store. All numbers are little-endian.

    records     `frames` records of `record_bytes` each; what is in them stands in asrkd/distill/records.py
    utterances  16 bytes each: int64, the position of its first frame in the FrameStore; int64, its frames.
                The records of an utterance follow those of the one before.
    ids         their names, UTF-8, a newline after each
    footer      48 bytes:
                 8  b"asrkdST2"
                 8  uint64, frames
                 8  uint64, utterances
                 8  uint64, bytes of the ids
                 4  uint32, record_bytes
                 4  uint32, CRC-32 of the records
                 4  uint32, CRC-32 of utterances and ids
                 4  uint32, CRC-32 of the bytes of card.json

A file gets its name when it is complete, so that what bears the name is whole.
"""

import ctypes
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from asrkd.errors import UserError

SUFFIX = ".targets"
MAGIC = b"asrkdST2"
FOOTER = struct.Struct("<8s3Q4I")
UTTERANCE = struct.Struct("<2q")
BLOCK = 1 << 24  # bytes that are read at once to check a sum


@dataclass(frozen=True)
class Shard:
    path: Path
    ids: list[str]  # U
    first: Tensor  # (U,) int64
    frames: Tensor  # (U,) int64
    records: Tensor  # (N, record_bytes) uint8, memory-mapped
    crc: int  # of the records, as the footer has it


class _Added(NamedTuple):
    """An utterance of a shard that is being written."""

    row: bytes  # of the table
    name: bytes  # with its newline
    frames: int  # of it and all before
    crc: int  # of the records of it and all before


class ShardFile:
    """A shard that is being written. An utterance is in it when `add` has returned: `finish` takes away what an
    interrupted `add` or `finish` left."""

    def __init__(self, path: Path, record_bytes: int, card_crc: int) -> None:
        self.path = path
        self._record_bytes = record_bytes
        self._card_crc = card_crc
        self._added: list[_Added] = []
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115 (finish() closes it)

    def add(self, utterance_id: str, first: int, records: Tensor) -> None:
        """records: (T, record_bytes) uint8."""
        data, before = as_bytes(records), self._so_far()
        row, name = UTTERANCE.pack(first, len(records)), f"{utterance_id}\n".encode()
        with _naming(self.path):
            self._file.seek(before.frames * self._record_bytes)
            self._file.write(data)
        self._added.append(_Added(row, name, before.frames + len(records), zlib.crc32(data, before.crc)))

    def finish(self) -> None:
        """Write the rest and give the file its name. Without an utterance there is no shard."""
        if not self._added:
            self._file.close()
            self._temporary.unlink()
            return
        frames, crc = self._so_far().frames, self._so_far().crc
        names = b"".join(added.name for added in self._added)
        table = b"".join(added.row for added in self._added) + names
        sizes = (frames, len(self._added), len(names), self._record_bytes)
        with _naming(self.path):
            self._file.seek(frames * self._record_bytes)
            self._file.truncate()
            self._file.write(table + FOOTER.pack(MAGIC, *sizes, crc, zlib.crc32(table), self._card_crc))
            self._file.flush()
            os.fsync(self._file.fileno())
        if self.path.exists() or not self._temporary.exists():
            self._file.close()
            raise UserError(
                f"{self.path}: expected one writer of this name, found the work of another; give each writer shards of "
                "a name of its own (SoftTargetStore.create(..., shard=NAME))"
            )
        os.replace(self._temporary, self.path)
        self._file.close()

    def bytes_of_records(self) -> int:
        return self._so_far().frames * self._record_bytes

    def _so_far(self) -> _Added:
        return self._added[-1] if self._added else _Added(b"", b"", 0, 0)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A write that fails, on a full disk most often, does not say to which file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def open_shard(path: Path, record_bytes: int, card_crc: int) -> Shard:
    """Map the records and read the rest.

    Raises UserError when the file is cut short, altered outside its records, or of another store.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - FOOTER.size))
        footer = file.read()
        if len(footer) < FOOTER.size or not footer.startswith(MAGIC):
            raise _damaged(path, "expected a footer at its end, found none; it may be cut short")
        _, frames, utterances, name_bytes, own_bytes, crc, table_crc, own_card = FOOTER.unpack(footer)
        expected = frames * own_bytes + utterances * UTTERANCE.size + name_bytes + FOOTER.size
        if size != expected:
            raise _damaged(path, f"expected {expected} bytes, found {size}")
        if own_bytes != record_bytes or own_card != card_crc:
            raise _damaged(path, "expected a shard of this store, found one written for another card.json")
        file.seek(frames * own_bytes)
        table = file.read(utterances * UTTERANCE.size + name_bytes)
    if zlib.crc32(table) != table_crc:
        raise _damaged(path, "its table of utterances was altered")
    numbers = torch.frombuffer(bytearray(table), dtype=torch.int64, count=2 * utterances).view(-1, 2)
    ids = table[utterances * UTTERANCE.size :].decode().split("\n")[:-1]
    if len(ids) != utterances or int(numbers[:, 1].sum()) != frames:
        raise _damaged(path, f"expected {utterances} utterances of {frames} frames, found others in its table")
    return Shard(path, ids, numbers[:, 0], numbers[:, 1], _mapped(path, frames, own_bytes), crc)


def _mapped(path: Path, frames: int, record_bytes: int) -> Tensor:
    """(frames, record_bytes) uint8."""
    # Not Python's mmap, which keeps the file open: a store may have more shards than a process may have files.
    mapped = torch.from_file(str(path), shared=False, size=frames * record_bytes, dtype=torch.uint8)
    if hasattr(mmap, "MADV_RANDOM"):
        # Frames are gathered from anywhere: reading ahead took a hundred times as long where nothing was in memory yet.
        address, length = ctypes.c_void_p(mapped.data_ptr()), ctypes.c_size_t(mapped.numel())
        ctypes.CDLL(None).madvise(address, length, mmap.MADV_RANDOM)
    return mapped.view(frames, record_bytes)


def verify_shard(shard: Shard) -> None:
    """Read all records. Raises UserError when they are not those that were written."""
    crc, left = 0, shard.records.numel()
    with open(shard.path, "rb") as file:
        while left > 0:
            block = file.read(min(BLOCK, left))
            if not block:
                raise _damaged(shard.path, f"{left} bytes of its records went while it was read")
            crc, left = zlib.crc32(block, crc), left - len(block)
    if crc != shard.crc:
        raise _damaged(shard.path, f"its records were altered (CRC-32 {crc:08x}, expected {shard.crc:08x})")


def as_bytes(tensor: Tensor) -> bytes:
    """Without numpy, which need not be installed."""
    if sys.byteorder != "little":
        raise UserError("soft targets are stored little-endian; this machine is not")
    tensor = tensor.contiguous()
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}; delete it and make the soft targets again")
