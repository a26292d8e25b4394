"""The files that MNIST comes in: IDX arrays of unsigned bytes (LeCun, Cortes and Burges, "The MNIST database")."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from asrkd.errors import UserError
from asrkd.mnist.digits import Corpus, Digits

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
UNSIGNED_BYTE = 8  # the type in the third byte; the fourth is the number of axes


def read_folder(folder: Path) -> Corpus:
    """The four files of a folder, each plain or .gz. Raises UserError when one is missing or damaged."""
    splits = {}
    for split, names in NAMES.items():
        images, labels = (read_idx(_find(folder, name)) for name in names)
        splits[split] = Digits(images, labels)
        splits[split].check(f"{folder / names[0]} and {names[1]}")
    return Corpus(**splits)


def read_idx(path: Path) -> np.ndarray:
    """The array of a file: 4 bytes that say what it is, each axis as a big-endian uint32, the values.

    Raises UserError when it is no such file or was cut short.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged ({error}); fetch it again") from None
    axes = data[3] if len(data) >= 4 else 0
    begin = 4 + 4 * axes
    if data[:3] != bytes([0, 0, UNSIGNED_BYTE]) or axes == 0 or len(data) < begin:
        raise UserError(f"{path}: expected an IDX file of unsigned bytes, found one that begins with {data[:4].hex()}")
    shape = tuple(np.frombuffer(data, ">u4", axes, 4).tolist())
    if len(data) != begin + math.prod(shape):
        raise UserError(f"{path}: expected {begin + math.prod(shape)} bytes for {shape}, found {len(data)}")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder}: expected MNIST's {name} or {name}.gz, found neither; --data-dir names their folder")
