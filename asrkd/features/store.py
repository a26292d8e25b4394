"""The frames of a split: one memory-mapped array of all utterances, and a table of where each one lies.

`frames.npy` is (N, mel), float16 or float32; `utterances.jsonl` has a row {"id", "speaker", "first", "frames"} an
utterance, in the order of the frames and without gaps. Labels and soft targets name a frame by its position in this
array.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.errors import UserError
from asrkd.files import read_jsonl, replacing, write_jsonl

FRAMES = "frames.npy"
UTTERANCES = "utterances.jsonl"


@dataclass(frozen=True)
class FrameStore:
    """Utterance u is `frames[first[u] : first[u] + counts[u]]`."""

    folder: Path
    frames: np.ndarray[Any, Any]  # (N, mel), a read-only memory map
    ids: list[str]  # U
    speakers: list[str]  # U
    first: np.ndarray[Any, np.dtype[np.int64]]  # (U,)
    counts: np.ndarray[Any, np.dtype[np.int64]]  # (U,), each at least 1
    index: dict[str, int]  # id -> u

    @staticmethod
    def open(folder: Path) -> "FrameStore":
        """Raises UserError when a file is missing or cut short, or when the table and the frames do not fit."""
        mend = f"delete {folder} and run the stage that makes it"
        rows = read_jsonl(folder / UTTERANCES)
        path = folder / FRAMES
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; {mend}") from None
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{path}: expected a whole array, found {error}; {mend}") from None
        try:
            ids = [str(row["id"]) for row in rows]
            speakers = [str(row["speaker"]) for row in rows]
            first = np.array([row["first"] for row in rows], dtype=np.int64)
            counts = np.array([row["frames"] for row in rows], dtype=np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder / UTTERANCES}: a row lacks or has a wrong {error}; {mend}") from None
        if frames.ndim != 2 or frames.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: expected (frames, mel) of float16 or float32, found {frames.dtype} {frames.shape}"
            )
        if len(frames) != counts.sum() or (first != np.cumsum(counts) - counts).any() or (counts < 1).any():
            raise UserError(
                f"{path}: {UTTERANCES} lists {counts.sum()} frames of {len(ids)} utterances without gaps, "
                f"found {len(frames)} frames; {mend}"
            )
        index = {name: u for u, name in enumerate(ids)}
        if len(index) != len(ids):
            raise UserError(f"{folder / UTTERANCES}: an utterance is listed twice; {mend}")
        return FrameStore(folder, frames, ids, speakers, first, counts, index)

    def __len__(self) -> int:
        """Utterances."""
        return len(self.ids)

    def utterance(self, name: str) -> np.ndarray[Any, Any]:
        """The frames of one utterance: (T, mel), a view of the memory map."""
        u = self.index[name]
        return self.frames[self.first[u] : self.first[u] + self.counts[u]]


def write_store(
    folder: Path,
    utterances: Iterable[tuple[str, str, np.ndarray[Any, Any]]],
    *,
    num_mel: int,
    dtype: str,
) -> int:
    """Stream (id, speaker, frames (T, mel)) into a store in `folder`; returns the number of frames.

    Nothing is kept in memory but the table. An older store in the folder stays until the new one is whole.
    """
    rows: list[dict[str, Any]] = []
    total = 0
    with replacing(folder / FRAMES) as temporary, open(temporary, "wb+") as file:
        data = _header(file, 0, num_mel, dtype)
        for name, speaker, frames in utterances:
            if frames.ndim != 2 or frames.shape[1] != num_mel or len(frames) == 0:
                raise ValueError(f"{name}: expected at least one frame of {num_mel}, found {frames.shape}")
            file.write(np.ascontiguousarray(frames, dtype=dtype).data)
            rows.append({"id": name, "speaker": speaker, "first": total, "frames": len(frames)})
            total += len(frames)
        file.seek(0)
        if _header(file, total, num_mel, dtype) != data:
            raise ValueError("numpy gave the header another length; the frames would be misplaced")
        file.flush()
        write_jsonl(folder / UTTERANCES, rows)
    return total


def _header(file: Any, length: int, num_mel: int, dtype: str) -> int:
    """Write npy's header; numpy leaves room in it for the first axis to grow. Returns where the data begins."""
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (length, num_mel)}
    np.lib.format.write_array_header_1_0(file, described)
    return int(file.tell())
