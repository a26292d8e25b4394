"""What Hinton, Vinyals and Dean (2015, arXiv:1503.02531) report for speech: the left half of our tables. In percent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WholeData:
    """Table 1."""

    frame_accuracy: float  # test
    wer: float


@dataclass(frozen=True)
class LimitedData:
    """Table 5."""

    train_accuracy: float
    test_accuracy: float


BASELINE = WholeData(58.9, 10.9)
ENSEMBLE = WholeData(61.1, 10.7)  # of 10
STUDENT = WholeData(60.8, 10.7)

ALL_HARD = LimitedData(63.4, 58.9)
HARD = LimitedData(67.3, 44.5)  # early stopping
SOFT = LimitedData(65.4, 57.0)
LIMITED_SHARE = 0.03  # of the training data, for HARD and SOFT
