"""The two forms of a frame's soft targets on disk, as fixed-length records of bytes.

top-k, 4 k + 4 bytes, for any number of pdfs up to 65,536:
    bytes 0 to 2 k          k pdf ids, uint16, the most probable first
    bytes 2 k to 4 k        their probabilities, float16
    bytes 4 k to 4 k + 4    the tail, float32: 1 minus the probabilities as stored, at least 0
dense, C bytes, for a small number of pdfs:
    byte c                  round(-ln(p[c]) * 255 / 16), at most 255; what is read back is normalised to a sum of 1

All little-endian.
"""

import torch
from torch import Tensor

from asrkd.distill.targets import SoftTargets

LOG_RANGE = 16.0  # nats: a pdf of probability exp(-16) or less is stored as exp(-16)
LEVELS = 255


def record_bytes(num_pdfs: int, top_k: int) -> int:
    """The length of a record; top_k 0 is the dense form."""
    return 4 * top_k + 4 if top_k else num_pdfs


def pack(probs: Tensor, top_k: int) -> Tensor:
    """Probabilities (T, C) -> records (T, bytes) uint8, on the same device."""
    if not top_k:
        return (probs.log() * (-LEVELS / LOG_RANGE)).round().clamp(0, LEVELS).to(torch.uint8)
    kept, ids = probs.topk(top_k)  # (T, k)
    kept = kept.half()
    tail = (1 - kept.float().sum(1, keepdim=True)).clamp(min=0)  # (T, 1)
    # To int16 first: uint16 has few operations. The cast keeps the low 16 bits.
    return torch.cat([ids.to(torch.int16).view(torch.uint8), kept.view(torch.uint8), tail.view(torch.uint8)], 1)


def unpack(records: Tensor, top_k: int) -> SoftTargets | Tensor:
    """Records (B, bytes) uint8 -> SoftTargets of ids int64, probs and tail float32, or dense (B, C) float32."""
    if not top_k:
        return (records.float() * (-LOG_RANGE / LEVELS)).softmax(1)
    ids, probs, tail = records.split_with_sizes([2 * top_k, 2 * top_k, 4], 1)
    return SoftTargets(
        ids.contiguous().view(torch.uint16).long(),
        probs.contiguous().view(torch.float16).float(),
        tail.contiguous().view(torch.float32).squeeze(1),
    )
