"""What torchrun tells the processes that it starts. Without it there is one, of rank 0."""

import os


def world() -> int:
    """How many processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    return int(os.environ.get("RANK", 0))
