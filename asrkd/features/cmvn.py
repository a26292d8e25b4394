"""Per-speaker cepstral (here: filterbank) mean and variance normalisation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

FLOOR = 1e-8  # of a variance: a bin that never moves stays at 0 instead of dividing by 0


@dataclass
class Moments:
    """Sums over frames, in float64: float32 sums of millions of frames lose the variance."""

    count: int
    sum: np.ndarray[Any, np.dtype[np.float64]]  # (mel,)
    square: np.ndarray[Any, np.dtype[np.float64]]  # (mel,)

    @staticmethod
    def of(frames: np.ndarray[Any, Any]) -> "Moments":
        """frames: (T, mel)."""
        exact = frames.astype(np.float64)
        return Moments(len(exact), exact.sum(axis=0), (exact**2).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.sum + other.sum, self.square + other.square)

    def to_json(self) -> dict[str, Any]:
        """JSON keeps every bit of a float64."""
        return {"count": self.count, "sum": self.sum.tolist(), "square": self.square.tolist()}

    @staticmethod
    def from_json(fields: dict[str, Any]) -> "Moments":
        return Moments(fields["count"], np.array(fields["sum"]), np.array(fields["square"]))

    def normaliser(self, variance: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(mean, scale), each (mel,) float32, for `normalise`. Without `variance` the scale is 1."""
        mean = self.sum / self.count
        spread = np.maximum(self.square / self.count - mean**2, FLOOR)
        scale = 1 / np.sqrt(spread) if variance else np.ones_like(mean)
        return mean.astype(np.float32), scale.astype(np.float32)


def normalise(
    frames: np.ndarray[Any, Any], mean: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """(frames - mean) * scale: (T, mel)."""
    normalised: np.ndarray[Any, Any] = (frames - mean) * scale
    return normalised
