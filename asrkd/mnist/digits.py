"""Images of digits with their labels, as stage 0 leaves them in the experiment: one file of four arrays."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkd.errors import UserError
from asrkd.files import hash_file, replacing

CORPUS = "corpus/mnist.npz"
CLASSES = 10


@dataclass(frozen=True)
class Digits:
    images: np.ndarray  # (N, side, side) uint8, 0 is the ground
    labels: np.ndarray  # (N,) uint8, 0 to 9

    def check(self, where: str) -> None:
        """Raises UserError when there is not a label from 0 to 9 for each of some square images."""
        images, labels = self.images.shape, self.labels.shape
        if len(images) != 3 or images[1] != images[2] or labels != images[:1] or not len(self.labels):
            raise UserError(
                f"{where}: expected square images (N, side, side) and (N,) labels, found {images}, {labels}"
            )
        if self.labels.max() >= CLASSES:
            raise UserError(f"{where}: expected labels from 0 to {CLASSES - 1}, found {self.labels.max()}")


@dataclass(frozen=True)
class Corpus:
    train: Digits
    test: Digits


def save_corpus(path: Path, corpus: Corpus) -> None:
    """The same corpus gives the same bytes."""
    splits = {"train": corpus.train, "test": corpus.test}
    arrays = {f"{split}_{name}": getattr(own, name) for split, own in splits.items() for name in ("images", "labels")}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def corpus_hash(path: Path) -> str:
    """Raises UserError when the file is missing."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; stage 0 makes it (run.sh --stage 0)")
    return hash_file(path)


def load_corpus(path: Path) -> Corpus:
    """Raises UserError when the file is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            train, test = (Digits(arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in ("train", "test"))
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run stage 0 again") from None
    return Corpus(train, test)
