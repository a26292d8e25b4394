"""The pdf of every frame of a split, as stage 3 writes it."""

from pathlib import Path

import numpy as np

from asrkd.errors import UserError

NO_LABEL = 65535
LABELS = "labels.npy"
LEFT_OUT = "left_out.jsonl"


def load_labels(folder: Path) -> np.ndarray:
    """(N,) uint16 pdfs, parallel to the frames of the split; 65535 where an utterance was left out. Memory-mapped, and
    not to be written to.

    Raises UserError when the file is missing or no such array.
    """
    path = folder / LABELS
    try:
        labels: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; stage 3 makes it (run.sh --stage 3)") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: expected labels, found {error}; delete {folder} and run stage 3 again") from None
    if labels.dtype != np.uint16 or labels.ndim != 1:
        raise UserError(f"{path}: expected (frames,) of uint16, found {labels.dtype} {labels.shape}; run stage 3 again")
    return labels
