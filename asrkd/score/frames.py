"""Frame accuracy and cross-entropy against the labels of stage 3."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrkd.errors import UserError

NO_LABEL = 65535


@dataclass(frozen=True)
class FrameScores:
    frames: int  # with a label
    accuracy: float  # share of them whose most probable pdf is the label
    cross_entropy: float  # mean of -log p(label), in nats


def frame_scores(utterances: Iterable[tuple[Tensor, np.ndarray]]) -> FrameScores:
    """Of pairs of log posteriors (T, C) and labels (T,) uint16, an utterance each, consumed one by one.

    Frames labelled 65535 do not count. Raises UserError when lengths differ, a label is no pdf of the model, or no
    frame has a label.
    """
    frames = correct = 0
    loss = 0.0
    for log_posteriors, labels in utterances:
        if len(log_posteriors) != len(labels):
            raise UserError(
                f"labels: expected {len(log_posteriors)} for an utterance, found {len(labels)}; run stage 3"
            )
        labelled = torch.from_numpy(labels != NO_LABEL)
        pdfs = torch.from_numpy(labels.astype(np.int64))[labelled]  # (L,)
        log_p = log_posteriors[labelled].double()  # (L, C)
        if len(pdfs) and int(pdfs.max()) >= log_p.shape[1]:
            raise UserError(
                f"labels: expected pdfs below {log_p.shape[1]}, which the model has, found {int(pdfs.max())}; "
                "the model was trained on other labels (run stages 4 to 10)"
            )
        frames += len(pdfs)
        correct += int((log_p.argmax(1) == pdfs).sum())
        loss -= float(log_p.gather(1, pdfs[:, None]).sum())
    if not frames:
        raise UserError("labels: expected labelled frames to score on, found none; see left_out.jsonl of stage 3")
    return FrameScores(frames, correct / frames, loss / frames)
