"""Writes soft targets into shards of a store."""

from pathlib import Path
from types import TracebackType

from torch import Tensor
from typing_extensions import Self  # torch depends on it

from asrkd.distill.records import pack, record_bytes
from asrkd.distill.shards import SUFFIX, ShardFile, open_shard

SHARD_BYTES = 1 << 28  # of records, above which the next utterance begins another shard


class SoftTargetWriter:
    """Writes shards of its own, named by `shard` and a number, beside those of other writers.

    As a context manager it keeps what was added also when the block ends in an error or Ctrl-C, but for a full disk's;
    after kill -9, the shards that were full are there. A new writer goes on: `utterance_id in writer` tells what the
    store has.
    """

    def __init__(self, path: Path, num_pdfs: int, top_k: int, card_crc: int, shard: str) -> None:
        self.path = path
        self.num_pdfs = num_pdfs
        self.top_k = top_k
        self._card_crc = card_crc
        self._shard = shard
        self._file: ShardFile | None = None
        width = record_bytes(num_pdfs, top_k)
        tables = [open_shard(file, width, card_crc) for file in sorted(path.glob(f"*{SUFFIX}"))]
        self._next_first = max((int((t.first + t.frames).max()) for t in tables), default=0)
        self._ids = {name for table in tables for name in table.ids}
        for left in path.glob(f".{shard}.*.tmp"):  # by a writer of this name that was killed
            left.unlink()
        # Above the highest, not the count: a damaged shard may have been deleted from among them.
        own = [table.path.name for table in tables if table.path.name.startswith(f"{shard}.")]
        self._number = max((int(name.split(".")[1]) for name in own), default=-1) + 1

    def __contains__(self, utterance_id: str) -> bool:
        """Whether the store had it when this writer began, or has been given it by this writer."""
        return utterance_id in self._ids

    def add(self, utterance_id: str, probs: Tensor, first: int | None = None) -> None:
        """Keep an utterance's probabilities (T, C), on any device.

        first: the position of its first frame in the FrameStore; None continues where the last utterance ended, of
        those of this writer or of the store that it found.
        Raises ValueError for another shape, probabilities that are negative, NaN or do not sum to 1 (within 1 %), a
        name with a line break, and an utterance that the store has.
        """
        if probs.ndim != 2 or probs.shape[1] != self.num_pdfs or len(probs) == 0:
            raise ValueError(f"{utterance_id}: expected (T > 0, {self.num_pdfs}), found {tuple(probs.shape)}")
        if not isinstance(utterance_id, str) or not utterance_id or "\n" in utterance_id:
            raise ValueError(f"expected an utterance's name of one line, found {utterance_id!r}")
        if utterance_id in self._ids:
            raise ValueError(f"{utterance_id}: expected each utterance once, found it a second time")
        probs = probs.detach().float()
        lowest, wrong = float(probs.min()), float((probs.sum(1) - 1).abs().max())
        if not (lowest >= 0 and wrong < 0.01):
            raise ValueError(f"{utterance_id}: expected probabilities, found {lowest} and a sum that is off by {wrong}")
        if self._file is not None and self._file.bytes_of_records() >= SHARD_BYTES:
            self.close()
        if self._file is None:
            name = f"{self._shard}.{self._number:04d}{SUFFIX}"
            self._file = ShardFile(self.path / name, record_bytes(self.num_pdfs, self.top_k), self._card_crc)
        first = self._next_first if first is None else first
        self._file.add(utterance_id, first, pack(probs, self.top_k).cpu())
        self._ids.add(utterance_id)
        self._next_first = first + len(probs)

    def close(self) -> None:
        """Make the shard under way part of the store."""
        if self._file is not None:
            self._file.finish()
            self._file = None
            self._number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a full disk the file may end in the middle of a record: it gets no name, and the next writer's is whole.
        if kind is None or not issubclass(kind, OSError):
            self.close()
