"""The processes that train one model together, as torchrun starts them: each takes its share of every batch.

Where there is one, nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from asrkd.parallel import cores
from asrkd.torchrun import rank, world


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within it the processes can talk: through nccl on GPUs, gloo elsewhere. The cores are shared out among them."""
    if world() == 1:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else nccl takes the first GPU for every process
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(before)


def share(items: Tensor) -> Tensor:
    """This process's part of the first axis; parts differ by one at most."""
    return items.tensor_split(world())[rank()] if world() > 1 else items


def summed(values: Tensor) -> Tensor:
    """The sum over the processes, in place."""
    if world() > 1:
        distributed.all_reduce(values)
    return values


def from_first(value: bool) -> bool:
    """What it is in the process of rank 0; the others wait for it."""
    if world() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def wait_for_all() -> None:
    if world() > 1:
        distributed.barrier()
