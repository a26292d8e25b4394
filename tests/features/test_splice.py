import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkd.features.splice import splice


def plain_splice(frames: Tensor, centre: int, first: int, last: int, left: int, right: int) -> list[float]:
    window = []
    for row in range(centre - left, centre + right + 1):
        window += frames[min(max(row, first), last)].tolist()
    return window


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    left=st.integers(0, 20),
    right=st.integers(0, 6),
    data=st.data(),
)
def test_against_a_plain_loop(counts: list[int], left: int, right: int, data: st.DataObject) -> None:
    ends = torch.tensor(counts).cumsum(0)
    total = int(ends[-1])
    frames = torch.arange(total * 3, dtype=torch.float32).view(total, 3)
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centres = torch.tensor(data.draw(st.lists(st.integers(0, total - 1), max_size=20)), dtype=torch.int64)
    last = ends[owner[centres]] - 1
    first = ends[owner[centres]] - torch.tensor(counts)[owner[centres]]
    spliced = splice(frames, centres, first, last, left, right)
    assert spliced.shape == (len(centres), (left + 1 + right) * 3)
    expected = [
        plain_splice(frames, int(c), int(f), int(e), left, right) for c, f, e in zip(centres, first, last, strict=True)
    ]
    assert spliced.tolist() == expected
    # Never across an utterance: each row of each window belongs to the centre's utterance.
    rows = (spliced.view(len(centres), left + 1 + right, 3)[:, :, 0] / 3).long()
    assert torch.equal(owner[rows], owner[centres][:, None].expand(rows.shape))


def test_keeps_the_stored_type() -> None:
    frames = torch.randn(5, 2).half()
    one = torch.tensor([2])
    assert splice(frames, one, torch.tensor([0]), torch.tensor([4]), 1, 1).dtype == torch.float16
