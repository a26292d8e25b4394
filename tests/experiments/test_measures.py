import math

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkd.experiments.measures import BINS, disagreement_sums, frame_sums, measures


def random_probs(*shape: int, seed: int = 0) -> Tensor:
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def test_by_hand() -> None:
    probs = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])
    found = measures(frame_sums(probs, torch.tensor([0, 0, 0, 0])))
    assert found.frames == 4 and found.accuracy == 75
    assert found.cross_entropy == pytest.approx((math.log(2) + math.log(4) - math.log(0.9)) / 4)
    half = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert found.entropy == pytest.approx((2 * half - 0.9 * math.log(0.9) - 0.1 * math.log(0.1)) / 4)
    assert found.confidence == pytest.approx(100 * (0.5 + 0.5 + 0.9 + 1.0) / 4)
    # Two frames of confidence 0.5, one of them right; one of 0.9 and one of 1, both right.
    assert found.calibration_error == pytest.approx(100 * 0.1 / 4)
    assert [n for n, _, _ in found.bins] == [2, 1, 1]
    assert found.bins[0][1:] == pytest.approx((50, 50))


def test_against_a_loop_over_frames() -> None:
    """Sums of two parts are those of the whole, and bins are those of the definition."""
    probs, labels = random_probs(500, 7), torch.randint(7, (500,), generator=torch.Generator().manual_seed(1))
    found = measures(frame_sums(probs[:123], labels[:123]) + frame_sums(probs[123:], labels[123:]))
    confidence, right = [], []
    for frame, label in zip(probs.double().numpy(), labels.tolist(), strict=True):
        confidence.append(frame.max())
        right.append(float(frame.argmax() == label))
    error = 0.0
    for bin_ in range(BINS):
        own = [i for i, c in enumerate(confidence) if bin_ / BINS < c <= (bin_ + 1) / BINS]
        if own:
            error += len(own) / 500 * abs(np.mean([right[i] for i in own]) - np.mean([confidence[i] for i in own]))
    assert found.calibration_error == pytest.approx(100 * error)
    expected = torch.nn.functional.nll_loss(probs.double().log(), labels)
    assert found.cross_entropy == pytest.approx(float(expected))
    assert found.entropy == pytest.approx(float(torch.distributions.Categorical(probs.double()).entropy().mean()))


def test_a_guess_has_the_entropy_of_its_pdfs() -> None:
    found = measures(frame_sums(torch.full((3, 8), 1 / 8), torch.tensor([0, 1, 2])))
    assert found.entropy == pytest.approx(math.log(8)) and found.cross_entropy == pytest.approx(math.log(8))
    with pytest.raises(ValueError, match="at least one frame"):
        measures(frame_sums(torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)))


def test_disagreement_of_two_by_hand() -> None:
    probs = torch.tensor([[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0.5, 0.5]]])  # (2, 2, 2)
    frames, kl, differ = disagreement_sums(probs).tolist()
    assert frames == 2 and differ == 1
    assert kl == pytest.approx(0.5 * math.log(3))  # of the first frame, in either direction; the second has none


def test_disagreement_against_a_loop_over_pairs() -> None:
    probs = random_probs(4, 30, 6)
    kl = differ = 0.0
    for p in range(4):
        for q in range(4):
            if p != q:
                kl += (
                    float(torch.nn.functional.kl_div(probs[q].double().log(), probs[p].double(), reduction="sum")) / 12
                )
                differ += float((probs[p].argmax(1) != probs[q].argmax(1)).sum()) / 12
    assert disagreement_sums(probs).tolist() == pytest.approx([30, kl, differ])
    same = probs[:1].expand(3, -1, -1)
    assert disagreement_sums(same).tolist() == pytest.approx([30, 0, 0], abs=1e-9)
