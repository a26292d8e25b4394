"""Parts of the utterances: a share of them, the same of every speaker; folds of whole speakers."""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np


def stratified_subset(speakers: Sequence[str], share: float, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices, sorted, of `share` (0 to 1) of each speaker's utterances; `speakers` names the speaker of each one.

    Every speaker gives at least one. Fractions are rounded up for as many speakers as it takes for the whole to come
    out at `share` too. A seed fixes the choice, and a smaller share is contained in a larger one: each speaker's
    utterances are shuffled once, and the share tells how many are taken from the front.
    """
    names, of = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    # Speaker s gets floor(share * n + offset): offsets spread evenly over [0, 1) make the mean of the floors share * n.
    offsets = (np.random.default_rng(seed).permutation(len(names)) + 0.5) / max(len(names), 1)
    chosen = []
    for s, name in enumerate(names):
        own = np.flatnonzero(of == s)
        shuffled = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(own)
        count = math.floor(share * len(own) + offsets[s])
        chosen.append(shuffled[: min(max(count, 1), len(own))])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def speaker_folds(
    speakers: Sequence[str], frames: Sequence[int] | np.ndarray[Any, Any], folds: int, seed: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The fold of each utterance, 0 to folds - 1, (U,): all of a speaker's are in one, and folds are alike in frames.

    speakers, frames: of each utterance. The speakers go, the one with the most frames first, to the fold with the
    fewest so far (Graham 1969, "Bounds on multiprocessing timing anomalies": the largest is within 4/3 of the best
    split's). The seed orders speakers of as many frames. Raises ValueError for fewer speakers than folds.
    """
    names, of = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"expected at least {folds} speakers for as many folds, found {len(names)}")
    total = np.zeros(len(names), dtype=np.int64)
    np.add.at(total, of, np.asarray(frames, dtype=np.int64))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    filled = np.zeros(folds, dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.int64)
    for s in shuffled[np.argsort(-total[shuffled], kind="stable")]:
        fold_of[s] = filled.argmin()
        filled[fold_of[s]] += total[s]
    return fold_of[of]
