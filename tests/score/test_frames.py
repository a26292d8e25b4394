import math

import numpy as np
import pytest
import torch

from asrkd.errors import UserError
from asrkd.score.frames import frame_scores


def labels(*pdfs: int) -> np.ndarray:
    return np.array(pdfs, dtype=np.uint16)


def test_hand_values_over_two_utterances() -> None:
    first = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.1, 0.1, 0.8]]).log()
    second = torch.tensor([[0.25, 0.5, 0.25]]).log()
    scores = frame_scores(iter([(first, labels(0, 0, 65535)), (second, labels(1))]))
    assert scores.frames == 3
    assert scores.accuracy == 2 / 3
    assert math.isclose(scores.cross_entropy, -(math.log(0.7) + math.log(0.3) + math.log(0.5)) / 3, rel_tol=1e-6)


def test_uniform_posterior_has_the_log_of_the_classes() -> None:
    uniform = torch.full((1000, 300), -math.log(300))
    scores = frame_scores([(uniform, np.arange(1000, dtype=np.uint16) % 300)])
    assert math.isclose(scores.cross_entropy, math.log(300), rel_tol=1e-6)


@pytest.mark.parametrize(
    ("pdfs", "message"),
    [(labels(0), "expected 2 for an utterance, found 1"), (labels(0, 3), "found 3"), (labels(65535, 65535), "none")],
)
def test_labels_that_do_not_fit(pdfs: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frame_scores([(torch.zeros(2, 3), pdfs)])
