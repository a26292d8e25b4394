"""A corpus like MNIST: ten shapes of 8 x 8 pixels under noise, in IDX files."""

import struct
from pathlib import Path

import numpy as np
import pytest

SIDE, TRAIN, TEST, DEV = 8, 600, 200, 100


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def write_digits(folder: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = np.zeros((10, SIDE, SIDE))
    # Of blocks of 2 x 2, so that a pixel's jitter leaves them known; the ten differ in two blocks at least.
    blocks = np.array([[digit >> bit & 1 for bit in (0, 1, 2, 3, 0, 1, 2, 3, 0)] for digit in range(10)])
    shapes[:, 1:-1, 1:-1] = np.kron(blocks.reshape(10, 3, 3), np.ones((2, 2)))
    folder.mkdir()
    for name, count in (("train", TRAIN), ("t10k", TEST)):
        labels = rng.integers(0, 10, size=count)
        images = 150 * shapes[labels] + rng.uniform(0, 100, size=(count, SIDE, SIDE))
        write_idx(folder / f"{name}-images-idx3-ubyte", images.astype(np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels.astype(np.uint8))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist") / "digits"
    write_digits(folder)
    return folder
