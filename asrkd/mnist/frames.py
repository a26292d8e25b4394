"""Stages 1 and 3 of recipes/mnist: images as frame stores, digits as labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrkd.align.labels import LABELS
from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import Step, identity
from asrkd.features.store import FRAMES, UTTERANCES, write_store
from asrkd.files import hash_value, write_json, write_npy
from asrkd.mnist.digits import CLASSES, CORPUS, Digits, corpus_hash, load_corpus

SPLITS = ("train", "dev", "test")
LABEL_SET = "label_set.json"


def make_frames(exp: Path, config: Config, force: bool = False) -> None:
    """Write EXP/features/train, dev and test: an utterance of one frame an image, its pixels from 0 to 1.

    Raises UserError when stage 0's file is missing or damaged, or its images are of another size than
    features.num_mel_bins.
    """
    splits = None
    source = corpus_hash(exp / CORPUS)
    for split in SPLITS:
        step = _frames_step(exp, config, split, source, force)
        if not step.begin():
            continue
        splits = splits or split_digits(exp, config)
        images = write_store(
            step.folder, _rows(*splits[split]), num_mel=config.features.num_mel_bins, dtype=config.features.dtype
        )
        step.finish([FRAMES, UTTERANCES], images=images)
        print(f"{step.folder}: {images} images", flush=True)


def make_labels(exp: Path, config: Config, force: bool = False) -> None:
    """Write EXP/align: the digit of each image.

    Raises UserError when stage 1 has not been finished, or with another file of stage 0 than the one that is there.
    """
    features, source = {}, corpus_hash(exp / CORPUS)
    for split in SPLITS:
        folder = exp / "features" / split
        features[f"features/{split}"] = identity(folder, "stage 1")
        if not _frames_step(exp, config, split, source).is_current():
            raise UserError(
                f"{folder}: made from another {CORPUS} or other settings than those there are now; run stage 1 again "
                "(run.sh --stage 1)"
            )
    step = Step(
        exp / "align",
        made_by="stage 3",
        config=section(config, "mnist.dev", "mnist.held_out"),
        inputs={CORPUS: source, **features},
        force=force,
    )
    if not step.begin():
        return
    for split, (_, digits) in split_digits(exp, config).items():
        write_npy(step.folder / split / LABELS, digits.labels.astype(np.uint16))
    write_json(step.folder / LABEL_SET, {"num_pdfs": CLASSES, "hash": hash_value({"digits": CLASSES})})
    step.finish([LABEL_SET, *(f"{split}/{LABELS}" for split in SPLITS)])
    print(f"{step.folder}: the digit of each image", flush=True)


def _frames_step(exp: Path, config: Config, split: str, source: str, force: bool = False) -> Step:
    chosen = section(config, "features.dtype", "features.num_mel_bins", "mnist.dev", "mnist.held_out")
    return Step(exp / "features" / split, made_by="stage 1", config=chosen, inputs={CORPUS: source}, force=force)


def split_digits(exp: Path, config: Config) -> dict[str, tuple[list[str], Digits]]:
    """split -> the images' names and the images; dev is the last mnist.dev training images.

    Raises UserError when there are not more of them than that.
    """
    corpus = load_corpus(exp / CORPUS)
    images, dev = len(corpus.train.labels), config.mnist.dev
    if dev >= images:
        raise UserError(f"mnist.dev={dev} (expected fewer than the {images} training images)")
    bins = corpus.train.images[0].size
    if bins != config.features.num_mel_bins or corpus.test.images[0].size != bins:
        raise UserError(
            f"{exp / CORPUS}: expected images of {config.features.num_mel_bins} pixels, found {bins} in train and "
            f"{corpus.test.images[0].size} in test; set features.num_mel_bins"
        )
    names = [f"train-{number:05d}" for number in range(images)]
    trained = slice(0, images - dev if config.mnist.held_out else images)
    return {
        "train": (names[trained], _part(corpus.train, trained)),
        "dev": (names[images - dev :], _part(corpus.train, slice(images - dev, images))),
        "test": ([f"test-{number:05d}" for number in range(len(corpus.test.labels))], corpus.test),
    }


def _part(digits: Digits, part: slice) -> Digits:
    return Digits(digits.images[part], digits.labels[part])


def _rows(names: list[str], digits: Digits) -> Iterator[tuple[str, str, np.ndarray]]:
    """Utterance, speaker (none is known) and frames (1, pixels) of each image."""
    pixels = digits.images.reshape(len(names), 1, -1).astype(np.float32) / 255  # (N, 1, pixels)
    for name, image in zip(names, pixels, strict=True):
        yield name, "unknown", image
