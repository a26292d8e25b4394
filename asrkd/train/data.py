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
BLOCK = 1_000_000  # frames whose labels are looked at together


@dataclass(frozen=True)
class FrameData:
    """The frames with a label, of the utterances asked for. Positions count frames of the whole FrameStore.

    What is kept in memory grows with the utterances, not with the frames; of frames of some pdfs alone, with the states
    that the utterances pass through.
    """

    ids: list[str]  # U, all utterances of the store
    first: Tensor  # (U,) int64
    last: Tensor  # (U,) int64
    frames: Tensor  # (N, mel) float16 or float32, memory-mapped
    labels: Tensor  # (N,) int16, memory-mapped: the bits of the uint16 pdfs, since torch indexes no uint16
    runs: Tensor  # (R,) int64, where each run of neighbouring frames of ours begins
    before: Tensor  # (R + 1,) int64, how many frames of ours lie before each run, and in all
    left: int
    right: int
    classes: Tensor | None = None  # (num_pdfs,) int64, the model's class of each pdf; None where they are the pdfs

    @staticmethod
    def open(
        features: Path,
        labels: Path,
        model: ModelConfig,
        utterances: Collection[str] | None = None,
        pdfs: Collection[int] | None = None,
    ) -> "FrameData":
        """features: a FrameStore's folder; labels: the folder of its labels.npy; model: for its window;
        utterances: their ids, None for all; pdfs: those whose frames are wanted, None for all.

        Raises UserError when the labels are missing or not one a frame, or when no frame has one.
        """
        store = FrameStore.open(features)
        own = _map(labels / LABELS)
        if own.dtype != np.uint16 or own.shape != (len(store.frames),):
            raise UserError(
                f"{labels / LABELS}: expected uint16 labels of the {len(store.frames)} frames of {features}, "
                f"found {own.dtype} of shape {own.shape}; run stage 3 again"
            )
        chosen = np.ones(len(store), dtype=bool)
        if utterances is not None:
            chosen = np.isin(np.array(store.ids), np.array(sorted(utterances)))
        wanted = np.arange(NO_LABEL + 1) != NO_LABEL
        if pdfs is not None:
            wanted &= np.isin(np.arange(NO_LABEL + 1), np.array(sorted(pdfs)))
        runs, lengths = _labelled_runs(own, store.counts, chosen, wanted)
        if not len(runs):
            which = "" if pdfs is None else f" of the {len(pdfs)} pdfs {min(pdfs)} to {max(pdfs)} that are wanted"
            raise UserError(f"{labels / LABELS}: no frame has a label{which}; see left_out.jsonl of stage 3")
        first = torch.from_numpy(store.first)
        return FrameData(
            ids=store.ids,
            first=first,
            last=first + torch.from_numpy(store.counts) - 1,
            frames=map_frames(store),
            labels=torch.from_numpy(own.view(np.int16)),
            runs=torch.from_numpy(runs),
            before=torch.from_numpy(np.append(0, np.cumsum(lengths))),
            left=model.left,
            right=model.right,
        )

    def __len__(self) -> int:
        """Frames with a label, of the utterances asked for."""
        return int(self.before[-1])

    def positions(self, numbers: Tensor) -> Tensor:
        """The positions of the frames of these numbers, int64 from 0 to len - 1, of any shape."""
        run = torch.searchsorted(self.before, numbers, right=True) - 1
        return self.runs[run] + numbers - self.before[run]

    def utterances(self) -> list[int]:
        """The numbers of the utterances that have a frame here, in order."""
        # A run may reach over several.
        begin, end = self.utterance_of(self.runs), self.utterance_of(self.positions(self.before[1:] - 1))
        return sorted(
            {u for one, other in zip(begin.tolist(), end.tolist(), strict=True) for u in range(one, other + 1)}
        )

    @property
    def num_mel(self) -> int:
        return self.frames.shape[1]

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Spliced inputs (B, window * mel) of the stored type, and labels (B,) int64."""
        utterance = self.utterance_of(positions)
        inputs = splice(self.frames, positions, self.first[utterance], self.last[utterance], self.left, self.right)
        return inputs, self.labels_of(positions)

    def labels_of(self, positions: Tensor) -> Tensor:
        """(B,) int64: the classes of these frames."""
        pdfs = self.labels[positions].long() & 0xFFFF
        return pdfs if self.classes is None else self.classes[pdfs]

    def utterance_of(self, positions: Tensor) -> Tensor:
        """(B,) the number of the utterance that each frame is in."""
        return torch.searchsorted(self.first, positions, right=True) - 1

    def frames_of(self, utterance: int) -> int:
        return int(self.last[utterance] - self.first[utterance]) + 1


def _labelled_runs(
    pdfs: np.ndarray, counts: np.ndarray, chosen: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Begin and length of each run of frames of the chosen utterances whose label is wanted, (R,) each; runs may touch.

    wanted: bool, (65536,).
    """
    ends = np.cumsum(counts)
    runs, lengths = [], []
    for block in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(ends // BLOCK)) + 1):
        begin, end = int(ends[block[0]] - counts[block[0]]), int(ends[block[-1]])
        usable = wanted[pdfs[begin:end]] & np.repeat(chosen[block], counts[block])
        edges = np.flatnonzero(np.diff(usable, prepend=False, append=False))
        runs.append(begin + edges[::2])
        lengths.append(edges[1::2] - edges[::2])
    return np.concatenate(runs), np.concatenate(lengths)


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
