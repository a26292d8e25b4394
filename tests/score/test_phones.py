import numpy as np
import pytest
import torch

from asrkd.errors import UserError
from asrkd.score.frames import frame_scores
from asrkd.score.phones import counting_phones, phone_accuracy


def test_confusions_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    phone_of = np.array([0, 0, 1, 2, 2, 2])
    pairs = []
    expected = np.zeros((3, 3), dtype=np.int64)
    for frames in (40, 1, 60):
        log_p = torch.from_numpy(rng.normal(size=(frames, 6))).log_softmax(1)
        labels = rng.integers(0, 6, size=frames).astype(np.uint16)
        labels[::5] = 65535
        pairs.append((log_p, labels))
        for row, label in zip(log_p.tolist(), labels.tolist(), strict=True):
            if label != 65535:
                expected[phone_of[label], phone_of[row.index(max(row))]] += 1
    counted = np.zeros((3, 3), dtype=np.int64)
    scores = frame_scores(counting_phones(pairs, phone_of, counted))
    assert counted.tolist() == expected.tolist()
    assert scores == frame_scores(pairs)
    assert counted.sum() == scores.frames
    right = [expected[phone, phone] / expected[phone].sum() for phone in range(3)]
    assert phone_accuracy(counted).tolist() == right


def test_a_phone_without_frames_has_no_accuracy() -> None:
    found = phone_accuracy(np.array([[3, 1], [0, 0]]))
    assert found[0] == 0.75
    assert np.isnan(found[1])


def test_a_model_of_more_pdfs() -> None:
    with pytest.raises(UserError, match="model's 3 pdfs, found 2"):
        frame_scores(
            counting_phones(
                [(torch.zeros(2, 3), np.zeros(2, dtype=np.uint16))], np.array([0, 1]), np.zeros((2, 2), dtype=np.int64)
            )
        )
