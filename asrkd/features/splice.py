"""Windows of neighbouring frames, gathered when a batch is made."""

import torch
from torch import Tensor


def splice(frames: Tensor, centres: Tensor, first: Tensor, last: Tensor, left: int, right: int) -> Tensor:
    """The frames around each centre, side by side.

    frames: (N, mel). centres, first, last: (B,) int64; `first` and `last` are the first and the last frame of the
    utterance that the centre is in. A window that would reach beyond its utterance repeats the utterance's edge frame.
    Returns (B, (left + 1 + right) * mel), the oldest frame first.
    """
    offsets = torch.arange(-left, right + 1, device=centres.device)
    rows = centres[:, None] + offsets  # (B, W)
    rows = torch.minimum(torch.maximum(rows, first[:, None]), last[:, None])
    # An embedding look-up copies whole rows: twice as fast as indexing.
    gathered = torch.nn.functional.embedding(rows, frames)  # (B, W, mel)
    return gathered.view(len(centres), len(offsets) * frames.shape[1])
