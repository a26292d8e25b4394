"""Frames by phone: which phone a model hears where the labels have which."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from asrkd.align.labels import NO_LABEL
from asrkd.errors import UserError

Array = np.ndarray[Any, np.dtype[np.int64]]


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
