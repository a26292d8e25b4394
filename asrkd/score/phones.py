"""Frames by phone: which phone a model hears where the labels have which."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asrkd.align.labels import NO_LABEL
from asrkd.errors import UserError

Array = np.ndarray[Any, np.dtype[np.int64]]


def phone_of_pdfs(path: Path) -> Array:
    """(C,) the phone whose states each pdf stands for, from stage 3's pdfs.npy, (P, P, 3) by left phone, phone, state.

    A pdf may be that of several states and left phones; raises UserError when it is that of two phones or of none, or
    when the file is missing or no such table.
    """
    mend = "run stage 3 again (run.sh --stage 3 --force)"
    try:
        pdfs = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; stage 3 makes it (run.sh --stage 3)") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: expected a table of pdfs, found {error}; {mend}") from None
    square = pdfs.ndim == 3 and pdfs.shape[0] == pdfs.shape[1]
    if not square or not pdfs.size or pdfs.dtype.kind not in "iu" or pdfs.min() < 0:
        raise UserError(f"{path}: expected pdfs (phones, phones, states), found {pdfs.dtype} {pdfs.shape}; {mend}")
    phones = np.broadcast_to(np.arange(len(pdfs), dtype=np.int64)[None, :, None], pdfs.shape)
    table = np.full(int(pdfs.max()) + 1, -1, dtype=np.int64)
    table[pdfs] = phones
    shared, unused = pdfs[table[pdfs] != phones], np.flatnonzero(table < 0)
    if len(shared) or len(unused):
        which, found = (shared[0], "several") if len(shared) else (unused[0], "none")
        raise UserError(f"{path}: expected each pdf to be of one phone, found pdf {which} of {found}; {mend}")
    return table


def counting_phones(
    utterances: Iterable[tuple[Tensor, np.ndarray]], phone_of: Array, confusions: Array
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Pass on pairs of log posteriors (T, C) and labels (T,), and add their frames to `confusions`.

    confusions: (P, P), rows are the labels' phones, columns those of the most probable pdf. Frames without a label do
    not count. An utterance is counted when the next is asked for: whoever takes the pairs has checked it by then.
    """
    for log_posteriors, labels in utterances:
        yield log_posteriors, labels
        labelled = labels != NO_LABEL
        heard = log_posteriors.argmax(1).numpy()[labelled]  # (L,)
        if log_posteriors.shape[1] > len(phone_of):
            raise UserError(
                f"pdfs.npy of stage 3: expected a phone for each of the model's {log_posteriors.shape[1]} pdfs, found "
                f"{len(phone_of)}; the model was trained on other labels (run stages 4 to 10)"
            )
        np.add.at(confusions, (phone_of[labels[labelled]], phone_of[heard]), 1)


def phone_accuracy(confusions: Array) -> np.ndarray:
    """(P,) the share of each phone's frames that are heard as that phone; nan where it has none."""
    frames = confusions.sum(axis=1)
    return np.where(frames > 0, np.diag(confusions) / np.maximum(frames, 1), np.nan)
