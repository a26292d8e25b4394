"""Where a net is computed, and in which precision."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from asrkd.config import RunConfig
from asrkd.errors import UserError


def choose_device(name: str) -> torch.device:
    """auto is the GPU where there is one. Raises UserError for cuda without a GPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("run.device=cuda: torch finds no GPU; run.device=cpu trains without one")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        return torch.device(name, int(os.environ.get("LOCAL_RANK", 0)))  # torchrun's: a GPU a process
    return torch.device(name)


def one_net_at_a_time(run: RunConfig) -> RunConfig:
    """For jobs that compute nets: a GPU is filled by one of them."""
    return replace(run, jobs=1) if choose_device(run.device).type == "cuda" else run


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is the faster choice: elsewhere it is emulated, and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """precision: auto, bfloat16 or float32. Matrix products take bfloat16 and sum in float32; weights stay float32."""
    enabled = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16) if enabled else nullcontext()
