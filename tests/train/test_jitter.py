"""Moved images against shifts by hand: each image is one of the possible moves, and all moves occur."""

from collections import Counter

import numpy as np
import torch

from asrkd.train.jitter import jittered

SIDE = 5


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """A pixel at a time."""
    result = np.zeros_like(image)
    for row in range(SIDE):
        for column in range(SIDE):
            if 0 <= row - down < SIDE and 0 <= column - right < SIDE:
                result[row, column] = image[row - down, column - right]
    return result


def test_every_image_is_moved_by_itself_and_all_moves_are_as_likely() -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(0.1, 1, size=(2500, SIDE, SIDE)).astype(np.float32)
    torch.manual_seed(0)
    found = jittered(torch.from_numpy(images).flatten(1), 2).view(-1, SIDE, SIDE).numpy()
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    counts: Counter[tuple[int, int]] = Counter()
    for image, result in zip(images, found, strict=True):
        fitting = [move for move in moves if np.array_equal(moved(image, *move), result)]
        assert len(fitting) == 1
        counts[fitting[0]] += 1
    # 25 moves, 100 images each: a standard deviation of 9.8.
    assert len(counts) == 25 and 50 < min(counts.values()) <= max(counts.values()) < 150


def test_the_seed_decides_and_0_moves_nothing() -> None:
    images = torch.rand(7, SIDE * SIDE)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(jittered(images, 1))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert jittered(images, 0) is images
