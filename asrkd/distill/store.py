"""Soft targets on disk: for each frame the teacher's distribution at one temperature, in one of two forms.

A store is a folder. Its `card.json` is

    {"format": "asrkd soft targets 2", "temperature", "num_pdfs" (C), "top_k" (k; 0 is the dense form), "label_set",
    "features", "members"}

of which the last three are hashes of what the pdf ids, the frame numbers and the probabilities come from. Every
`NAME.targets` is a shard, laid out as asrkd/distill/shards.py says, with the records of asrkd/distill/records.py.
Processes that write at the same time each write shards of their own.
"""

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkd.distill.checks import check_integers, check_temperature
from asrkd.distill.records import record_bytes, unpack
from asrkd.distill.shards import SUFFIX, Shard, open_shard, verify_shard
from asrkd.distill.targets import SoftTargets
from asrkd.distill.writer import SoftTargetWriter
from asrkd.errors import UserError
from asrkd.files import read_json, replacing

FORMAT = "asrkd soft targets 2"
CARD = "card.json"
KEYS = {"temperature", "num_pdfs", "top_k", "label_set", "features", "members"}


class SoftTargetStore:
    """Reads what the writers kept. The shards are memory-mapped; only the table of utterances is in memory."""

    def __init__(self, path: Path, card: dict[str, Any], shards: list[Shard]) -> None:
        self.path = path
        self.card = card
        self.temperature = float(card["temperature"])
        self.num_pdfs = int(card["num_pdfs"])
        self.top_k = int(card["top_k"])
        self.shards = shards
        none = torch.zeros(0, dtype=torch.int64)
        first = torch.cat([none, *(shard.first for shard in shards)])  # (U,)
        count = torch.cat([none, *(shard.frames for shard in shards)])
        row = torch.cat([none, *(shard.frames.cumsum(0) - shard.frames for shard in shards)])
        number = torch.cat([none, *(torch.full((len(shard.ids),), s) for s, shard in enumerate(shards))])
        names = [name for shard in shards for name in shard.ids]
        order = first.argsort(stable=True)
        self.ids: list[str] = [names[u] for u in order.tolist()]
        self.index = {name: u for u, name in enumerate(self.ids)}
        self._first, self._count, self._row, self._shard = (t[order] for t in (first, count, row, number))
        if len(self.index) != len(names):
            raise UserError(_twice(path, shards))
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
        """Begin a store, or go on with one that was begun with the same arguments.

        top_k: how many pdfs of a frame are kept; 0 keeps all of them, in 8 bits each.
        label_set, features, members: hashes that say what pdf ids, frame numbers and probabilities come from.
        shard: the name of the writer's shards, by default one that no other takes; a name of your own is for one writer
        at a time, and lets it take up what it left when it was killed.
        Raises ValueError for arguments out of range, UserError when the folder is a store made from something else.
        """
        check_temperature(temperature)
        if isinstance(members, str):
            raise ValueError(f"expected a list of the members' hashes, found {members!r}")
        if not 0 <= top_k <= num_pdfs <= 65536 or num_pdfs == 0:
            raise ValueError(f"expected 0 <= top_k <= num_pdfs <= 65536, found top_k={top_k}, num_pdfs={num_pdfs}")
        path = Path(path)
        shard = f"{os.getpid()}-{os.urandom(4).hex()}" if shard is None else shard
        if not re.fullmatch(r"[\w-]+", shard):
            raise ValueError(f"expected letters, digits, - and _ as a shard's name, found {shard!r}")
        card = {
            "format": FORMAT,
            "temperature": float(temperature),
            "num_pdfs": int(num_pdfs),
            "top_k": int(top_k),
            "label_set": label_set,
            "features": features,
            "members": list(members),
        }
        if (path / CARD).exists():
            _refuse_difference(path, _read_card(path), card)
        else:
            # Two processes that come here at once write the same. What a kill leaves of it the next writer removes.
            with replacing(path / CARD, shard) as temporary:
                temporary.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return SoftTargetWriter(path, num_pdfs, top_k, zlib.crc32((path / CARD).read_bytes()), shard)

    @staticmethod
    def open(
        path: Path | str,
        *,
        temperature: float | None = None,
        label_set: str | None = None,
        features: str | None = None,
        frames: Mapping[str, int] | None = None,
        verify: bool = False,
    ) -> "SoftTargetStore":
        """Map a store for reading.

        temperature, label_set, features: those that it must have been made with. frames: the frame counts of the
        utterances that are to be looked up; each must be in the store, with as many frames. None checks nothing.
        verify: read every record to find those that were altered; without it a shard that was cut short, or whose
        table was altered, is found all the same.
        Raises UserError when the store is missing or damaged, or differs; the message says in what.
        """
        path = Path(path)
        card = _read_card(path)
        wanted = {"temperature": temperature, "label_set": label_set, "features": features}
        _refuse_difference(path, card, {key: value for key, value in wanted.items() if value is not None})
        width, crc = record_bytes(card["num_pdfs"], card["top_k"]), zlib.crc32((path / CARD).read_bytes())
        shards = [open_shard(file, width, crc) for file in sorted(path.glob(f"*{SUFFIX}"))]
        if verify:
            for shard in shards:
                verify_shard(shard)
        store = SoftTargetStore(path, card, shards)
        for name, count in (frames or {}).items():
            if store.frames_of(name) != count:
                raise UserError(f"{path}: expected {count} frames of {name}, found {store.frames_of(name)}")
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker of a DataLoader opens the store again: a copy of it would take as much memory as it has bytes."""
        return SoftTargetStore.open, (self.path.absolute(),)

    def __len__(self) -> int:
        """Utterances."""
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        """The utterances' names, in the order of their frames."""
        return iter(self.ids)

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self.index

    def frames_of(self, utterance_id: str) -> int:
        return int(self._count[self._find(utterance_id)])

    def first_of(self, utterance_id: str) -> int:
        """The position of its first frame in the FrameStore."""
        return int(self._first[self._find(utterance_id)])

    def __getitem__(self, utterance_id: str) -> SoftTargets | Tensor:
        """The targets of one utterance: ids and probs (T, k), tail (T,), or of a dense store (T, C).

        Raises UserError when it is not in the store.
        """
        u = self._find(utterance_id)
        row, count = int(self._row[u]), int(self._count[u])
        return unpack(self.shards[int(self._shard[u])].records[row : row + count], self.top_k)

    def gather(self, frame_index: Tensor) -> SoftTargets | Tensor:
        """The targets of frames anywhere in the store, by their positions in the FrameStore.

        frame_index: (...) integers. Returns ids (..., k) int64, probs (..., k) float32 and tail (...) float32, or of a
        dense store (..., C) float32. Raises UserError for a frame that the store does not have.
        """
        check_integers("frame_index", frame_index)
        if self._overlap:
            raise UserError(f"{self.path}: utterances overlap; shards of several writers need add(..., first=)")
        if not self.ids:
            raise UserError(f"{self.path}: no soft targets in it; make them again")
        shape, frame_index = frame_index.shape, frame_index.cpu().long().flatten()
        u = torch.searchsorted(self._first, frame_index, right=True) - 1  # (B,)
        within = frame_index - self._first[u]
        outside = (u < 0) | (within >= self._count[u])
        if bool(outside.any()):
            raise UserError(f"{self.path}: no soft targets for frame {int(frame_index[outside][0])} of the features")
        shard, row = self._shard[u], self._row[u] + within
        order = shard.argsort(stable=True)
        taken = shard.bincount(minlength=len(self.shards)).tolist()
        records = torch.empty(len(u), record_bytes(self.num_pdfs, self.top_k), dtype=torch.uint8)
        if len(u):
            records[order] = torch.cat(
                [
                    self.shards[s].records.index_select(0, rows)
                    for s, rows in enumerate(row[order].split_with_sizes(taken))
                    if len(rows)
                ]
            )
        found = unpack(records, self.top_k)
        if isinstance(found, SoftTargets):
            return SoftTargets(*(tensor.view(*shape, *tensor.shape[1:]) for tensor in found))
        return found.view(*shape, self.num_pdfs)

    def _find(self, utterance_id: str) -> int:
        if utterance_id not in self.index:
            raise UserError(f"{self.path}: no soft targets for utterance {utterance_id}")
        return self.index[utterance_id]


def _read_card(path: Path) -> dict[str, Any]:
    card = read_json(path / CARD)
    if not isinstance(card, dict) or card.get("format") != FORMAT or not card.keys() >= KEYS:
        raise UserError(
            f"{path / CARD}: expected the card of a soft-target store, {FORMAT!r}; "
            f"delete {path} and make the soft targets again"
        )
    return card


def _twice(path: Path, shards: Sequence[Shard]) -> str:
    name, _ = Counter(name for shard in shards for name in shard.ids).most_common(1)[0]
    files = " and ".join(shard.path.name for shard in shards if name in shard.ids)
    return (
        f"{path}: expected each utterance once, found {name} in {files}; "
        "delete one of these files and make the soft targets again"
    )


def _refuse_difference(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    different = [
        f"{key} is {found.get(key)}, expected {value}" for key, value in expected.items() if found.get(key) != value
    ]
    if different:
        raise UserError(f"{path}: the store was made from something else: {'; '.join(different)}; make it again")
