"""The labelled frames of a split, gathered and spliced a batch at a time from the memory map."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrkd.config import ModelConfig
from asrkd.errors import UserError
from asrkd.features.splice import splice
from asrkd.features.store import FRAMES, FrameStore

LABELS = "labels.npy"
NO_LABEL = 65535


@dataclass(frozen=True)
class FrameData:
    """Positions count frames of the whole FrameStore; `usable` are those with a label, of the utterances asked for."""

    ids: list[str]  # U, all utterances of the store
    first: Tensor  # (U,) int64
    last: Tensor  # (U,) int64
    frames: Tensor  # (N, mel) float16 or float32, memory-mapped
    labels: Tensor  # (N,) int16, memory-mapped: the bits of the uint16 pdfs, since torch indexes no uint16
    usable: Tensor  # (F,) int64
    left: int
    right: int

    @staticmethod
    def open(
        features: Path, labels: Path, model: ModelConfig, utterances: Collection[str] | None = None
    ) -> "FrameData":
        """features: a FrameStore's folder; labels: the folder of its labels.npy; model: for its window;
        utterances: their ids, None for all.

        Raises UserError when the labels are missing or not one a frame, or when no frame has one.
        """
        store = FrameStore.open(features)
        pdfs = _map(labels / LABELS)
        if pdfs.dtype != np.uint16 or pdfs.shape != (len(store.frames),):
            raise UserError(
                f"{labels / LABELS}: expected uint16 labels of the {len(store.frames)} frames of {features}, "
                f"found {pdfs.dtype} of shape {pdfs.shape}; run stage 3 again"
            )
        usable = pdfs != NO_LABEL
        if utterances is not None:
            chosen = np.isin(np.array(store.ids), np.array(sorted(utterances)))
            usable &= np.repeat(chosen, store.counts)
        if not usable.any():
            raise UserError(f"{labels / LABELS}: no frame has a label; see left_out.jsonl of stage 3")
        first = torch.from_numpy(store.first)
        return FrameData(
            ids=store.ids,
            first=first,
            last=first + torch.from_numpy(store.counts) - 1,
            frames=map_frames(store),
            labels=torch.from_numpy(pdfs.view(np.int16)),
            usable=torch.from_numpy(np.flatnonzero(usable)),
            left=model.left,
            right=model.right,
        )

    @property
    def num_mel(self) -> int:
        return self.frames.shape[1]

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Spliced inputs (B, window * mel) of the stored type, and labels (B,) int64."""
        utterance = self.utterance_of(positions)
        inputs = splice(self.frames, positions, self.first[utterance], self.last[utterance], self.left, self.right)
        return inputs, self.labels[positions].long() & 0xFFFF

    def utterance_of(self, positions: Tensor) -> Tensor:
        """(B,) the number of the utterance that each frame is in."""
        return torch.searchsorted(self.first, positions, right=True) - 1

    def frames_of(self, utterance: int) -> int:
        return int(self.last[utterance] - self.first[utterance]) + 1


def map_frames(store: FrameStore) -> Tensor:
    """The store's memory map as a tensor (N, mel); copy-on-write, since torch knows no read-only memory."""
    return torch.from_numpy(_map(store.folder / FRAMES))


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it") from None
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged ({error}); delete {path.parent} and run its stage again") from None
