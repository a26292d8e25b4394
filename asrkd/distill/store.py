"""Soft targets on disk: of each frame the k most probable pdfs, and the mass of the others together.

A store is a folder, made for one temperature over one set of utterances.

`card.json`
    {"format": "asrkd soft targets 1", "temperature", "num_pdfs" (C), "top_k" (k), "label_set", "features",
    "members"}: the last three are hashes of what the pdf ids, the frame numbers and the probabilities come from.
`NAME.targets`
    One shard: a record of 4 k + 4 bytes a frame, little-endian, nothing before or between.
        bytes 0 to 2 k          k pdf ids, uint16, the most probable first
        bytes 2 k to 4 k        their probabilities, float16
        bytes 4 k to 4 k + 4    the tail, float32: 1 minus the probabilities as stored
`NAME.jsonl`
    Its utterances: {"id", "first", "frames", "row"} a line. Record `row + t` of the shard is frame t of the
    utterance, and frame `first + t` of the FrameStore.

A shard is written to a temporary name; its `.jsonl` is renamed last and makes it part of the store. Processes that
write at the same time each write shards of their own.
"""

import ctypes
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import torch
from torch import Tensor
from typing_extensions import Self  # torch depends on it

from asrkd.distill.targets import SoftTargets
from asrkd.errors import UserError
from asrkd.experiment import read_json, read_jsonl, write_json, write_jsonl

FORMAT = "asrkd soft targets 1"
CARD = "card.json"


class SoftTargetWriter:
    """Writes one shard. As a context manager it keeps the shard when the block ends without an error, else drops it."""

    def __init__(self, path: Path, num_pdfs: int, top_k: int, shard: str) -> None:
        self.path = path
        self.num_pdfs = num_pdfs
        self.top_k = top_k
        self.shard = shard
        self._rows: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._records = 0
        self._next_first = 0
        self._temporary = path / f".{shard}.targets.{os.getpid()}.tmp"
        self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115 (close() and drop() close it)

    def add(self, utterance_id: str, probs: Tensor, first: int | None = None) -> None:
        """Keep the top k of an utterance's probabilities (T, C).

        first: the position of its first frame in the FrameStore; None continues where this writer's last utterance
        ended. Raises ValueError for another shape, probabilities that are negative, NaN or do not sum to 1 (within 1
        %), and an utterance that was added before.
        """
        if probs.ndim != 2 or probs.shape[1] != self.num_pdfs or len(probs) == 0:
            raise ValueError(f"{utterance_id}: expected (T > 0, {self.num_pdfs}), found {tuple(probs.shape)}")
        if utterance_id in self._ids:
            raise ValueError(f"{utterance_id}: expected each utterance once, found it a second time")
        probs = probs.detach().float().cpu()
        lowest, wrong = float(probs.min()), float((probs.sum(1) - 1).abs().max())
        if not (lowest >= 0 and wrong < 0.01):
            raise ValueError(f"{utterance_id}: expected probabilities, found {lowest} and a sum that is off by {wrong}")
        self._file.write(_as_bytes(_pack(probs, self.top_k)))
        first = self._next_first if first is None else first
        self._rows.append({"id": utterance_id, "first": first, "frames": len(probs), "row": self._records})
        self._ids.add(utterance_id)
        self._records += len(probs)
        self._next_first = first + len(probs)

    def close(self) -> None:
        """Make the shard part of the store; an empty one is dropped."""
        if not self._rows:
            self.drop()
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self.path / f"{self.shard}.targets")
        write_jsonl(self.path / f"{self.shard}.jsonl", self._rows)

    def drop(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.drop()


class SoftTargetStore:
    """Reads what the writers kept. The shards are memory-mapped; only the table of utterances is in memory."""

    def __init__(self, path: Path, card: dict[str, Any], rows: list[dict[str, Any]], shards: list[Tensor]) -> None:
        rows = sorted(rows, key=lambda row: int(row["first"]))
        self.path = path
        self.card = card
        self.temperature = float(card["temperature"])
        self.num_pdfs = int(card["num_pdfs"])
        self.top_k = int(card["top_k"])
        self.ids: list[str] = [str(row["id"]) for row in rows]
        self.index = {name: u for u, name in enumerate(self.ids)}
        self._shards = shards  # each (records, 4 k + 4) uint8
        self._first = torch.tensor([row["first"] for row in rows], dtype=torch.int64)  # (U,)
        self._count = torch.tensor([row["frames"] for row in rows], dtype=torch.int64)
        self._row = torch.tensor([row["row"] for row in rows], dtype=torch.int64)
        self._shard = torch.tensor([row["shard"] for row in rows], dtype=torch.int64)
        if len(self.index) != len(rows):
            raise UserError(f"{path}: an utterance is in it twice; delete {path} and make the soft targets again")
        self._overlap = bool((self._first[1:] < (self._first + self._count)[:-1]).any())

    @staticmethod
    def create(
        path: Path | str,
        *,
        temperature: float,
        num_pdfs: int,
        top_k: int,
        label_set: str,
        features: str,
        members: Sequence[str],
        shard: str | None = None,
    ) -> SoftTargetWriter:
        """Begin a store, or join one that was begun with the same arguments, and write one shard of it.

        label_set, features, members: hashes that say what pdf ids, frame numbers and probabilities come from.
        shard: its name, by default one that no other process takes; an older shard of that name is replaced.
        Raises ValueError for arguments out of range, UserError when the folder is a store made from something else.
        """
        if not temperature > 0:
            raise ValueError(f"expected a temperature above 0, found {temperature}")
        if not 1 <= top_k <= num_pdfs <= 65536:
            raise ValueError(f"expected 1 <= top_k <= num_pdfs <= 65536, found top_k={top_k}, num_pdfs={num_pdfs}")
        path = Path(path)
        shard = f"{os.getpid()}-{os.urandom(4).hex()}" if shard is None else shard
        if not re.fullmatch(r"[\w-]+", shard):
            raise ValueError(f"expected letters, digits, - and _ as a shard's name, found {shard!r}")
        card = {
            "format": FORMAT,
            "temperature": temperature,
            "num_pdfs": num_pdfs,
            "top_k": top_k,
            "label_set": label_set,
            "features": features,
            "members": list(members),
        }
        if (path / CARD).exists():
            _refuse_difference(path, read_json(path / CARD), card)
        else:
            write_json(path / CARD, card)  # two processes that come here at once write the same
        return SoftTargetWriter(path, num_pdfs, top_k, shard)

    @staticmethod
    def open(
        path: Path | str,
        *,
        label_set: str | None = None,
        features: str | None = None,
        frames: Mapping[str, int] | None = None,
    ) -> "SoftTargetStore":
        """Map a store for reading.

        label_set, features: the hashes that it must have been made from. frames: the frame counts of the utterances
        that are to be looked up; each must be in the store, with as many frames. None checks nothing.
        Raises UserError when the store is missing or damaged, or differs; the message says in what.
        """
        path = Path(path)
        card = read_json(path / CARD)
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            raise UserError(f"{path / CARD}: expected the card of a soft-target store, {FORMAT!r}")
        wanted = {"label_set": label_set, "features": features}
        _refuse_difference(path, card, {key: value for key, value in wanted.items() if value is not None})
        width = 4 * int(card["top_k"]) + 4
        rows: list[dict[str, Any]] = []
        shards: list[Tensor] = []
        for table in sorted(path.glob("*.jsonl")):
            own = read_jsonl(table)
            records = sum(row["frames"] for row in own)
            data = table.with_suffix(".targets")
            size = data.stat().st_size if data.exists() else 0
            if size != records * width or records == 0:
                raise UserError(
                    f"{data}: expected {records * width} bytes ({records} frames of {width}), found {size}; "
                    f"delete {path} and make the soft targets again"
                )
            rows += [{**row, "shard": len(shards)} for row in own]
            mapped = torch.from_file(str(data), shared=False, size=size, dtype=torch.uint8)
            shards.append(mapped.view(records, width))
        store = SoftTargetStore(path, card, rows, shards)
        for name, count in (frames or {}).items():
            if store.frames_of(name) != count:
                raise UserError(f"{path}: expected {count} frames of {name}, found {store.frames_of(name)}")
        return store

    def __len__(self) -> int:
        """Utterances."""
        return len(self.ids)

    def frames_of(self, utterance_id: str) -> int:
        return int(self._count[self._find(utterance_id)])

    def __getitem__(self, utterance_id: str) -> SoftTargets:
        """The targets of one utterance: ids and probs (T, k), tail (T,). Raises UserError when it is not in the
        store."""
        u = self._find(utterance_id)
        row, count = int(self._row[u]), int(self._count[u])
        return _unpack(self._shards[int(self._shard[u])][row : row + count], self.top_k)

    def gather(self, frame_index: Tensor) -> SoftTargets:
        """The targets of frames anywhere in the store, by their positions in the FrameStore.

        frame_index: (B,) int64. Returns ids (B, k) int64, probs (B, k) float32 and tail (B,) float32.
        Raises UserError for a frame that the store does not have.
        """
        if self._overlap:
            raise UserError(f"{self.path}: utterances overlap; shards of several writers need add(..., first=)")
        frame_index = frame_index.cpu()
        u = torch.searchsorted(self._first, frame_index, right=True) - 1  # (B,)
        within = frame_index - self._first[u]
        outside = (u < 0) | (within >= self._count[u])
        if bool(outside.any()):
            raise UserError(f"{self.path}: no soft targets for frame {int(frame_index[outside][0])} of the features")
        shard, row = self._shard[u], self._row[u] + within
        order = shard.argsort(stable=True)
        taken = shard.bincount(minlength=len(self._shards)).tolist()
        records = torch.empty(len(u), self._shards[0].shape[1], dtype=torch.uint8)
        records[order] = torch.cat(
            [
                self._shards[s].index_select(0, rows)
                for s, rows in enumerate(row[order].split_with_sizes(taken))
                if len(rows)
            ]
        )
        return _unpack(records, self.top_k)

    def _find(self, utterance_id: str) -> int:
        if utterance_id not in self.index:
            raise UserError(f"{self.path}: no soft targets for utterance {utterance_id}")
        return self.index[utterance_id]


def _pack(probs: Tensor, top_k: int) -> Tensor:
    """(T, C) -> (T, 4 k + 4) uint8."""
    kept, ids = probs.topk(top_k)  # (T, k)
    kept = kept.half()
    tail = (1 - kept.float().sum(1, keepdim=True)).clamp(min=0)  # (T, 1)
    # To int16 first: uint16 has few operations. The cast keeps the low 16 bits.
    return torch.cat([ids.to(torch.int16).view(torch.uint8), kept.view(torch.uint8), tail.view(torch.uint8)], 1)


def _unpack(records: Tensor, top_k: int) -> SoftTargets:
    """(B, 4 k + 4) uint8 -> ids int64, probs and tail float32."""
    ids, probs, tail = records.split_with_sizes([2 * top_k, 2 * top_k, 4], 1)
    return SoftTargets(
        ids.contiguous().view(torch.uint16).long(),
        probs.contiguous().view(torch.float16).float(),
        tail.contiguous().view(torch.float32).squeeze(1),
    )


def _as_bytes(records: Tensor) -> bytes:
    """Without numpy, which need not be installed."""
    if sys.byteorder != "little":
        raise UserError("soft targets are stored little-endian; this machine is not")
    return ctypes.string_at(records.data_ptr(), records.numel())


def _refuse_difference(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    different = [
        f"{key} is {found.get(key)}, expected {value}" for key, value in expected.items() if found.get(key) != value
    ]
    if different:
        raise UserError(
            f"{path}: the store was made from something else: {'; '.join(different)}; make it again (stage 5)"
        )
