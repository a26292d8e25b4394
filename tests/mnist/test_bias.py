"""The bias correction against trying every offset."""

import pytest
import torch

from asrkd.mnist.bias import best_offset, shifted


def errors(logits: torch.Tensor, labels: torch.Tensor, classes: list[int], offset: float) -> int:
    return int((shifted(logits, classes, offset).argmax(1) != labels).sum())


@pytest.mark.parametrize("classes", [[3], [7, 8], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_offset_has_fewer_errors(classes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (200,), generator=generator)
    logits = 2 * torch.randn(200, 10, generator=generator)
    logits[torch.arange(200), labels] += 3
    logits[:, classes] -= 4.0
    found = best_offset(logits, labels, classes)
    tried = [offset / 100 for offset in range(-1500, 1501)]
    least = min(errors(logits, labels, classes, offset) for offset in tried)
    assert errors(logits, labels, classes, found) <= least < errors(logits, labels, classes, 0.0)
    assert found == pytest.approx(4.0, abs=2.0)


def test_by_hand() -> None:
    # Class 1 wins above 2, 5 and 1: right for the first two images, wrong for the third. From 2 to 5 one error is made,
    # above 5 one as well, below 1 two.
    logits = torch.tensor([[2.0, 0.0], [5.0, 0.0], [1.0, 0.0]])
    labels = torch.tensor([1, 1, 0])
    assert [errors(logits, labels, [1], offset) for offset in (0.5, 1.5, 3.5, 6.0)] == [2, 3, 2, 1]
    assert best_offset(logits, labels, [1]) == 6.0
    assert best_offset(-logits, 1 - labels, [1]) == -6.0


def test_equal_logits_have_no_offset_between_them() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert best_offset(logits, torch.tensor([0, 0]), [1]) == 0.0
    # The first image cannot be lifted without the second: one error either way, and 0 is nearer than 2.
    assert best_offset(logits, torch.tensor([1, 0]), [1]) == 0.0


def test_mistakes_are_named() -> None:
    logits = torch.zeros(2, 3)
    for classes in ([], [0, 1, 2]):
        with pytest.raises(ValueError, match="expected images and some of the classes"):
            best_offset(logits, torch.tensor([0, 1]), classes)
    with pytest.raises(ValueError, match="found 0 and"):
        best_offset(logits[:0], torch.zeros(0).long(), [1])


def test_shifting_leaves_what_was_given() -> None:
    logits = torch.zeros(2, 3)
    assert shifted(logits, [0, 2], -1.5).tolist() == [[-1.5, 0, -1.5]] * 2
    assert not logits.any()
