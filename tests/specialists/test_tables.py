"""The rows of table 4, by hand."""

import pytest
import torch

from asrkd.specialists.tables import CoverageRow, coverage_rows, covering_specialists


def test_by_hand() -> None:
    clusters = [torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([4, 1])]  # pdf 3: none, pdf 1: three
    labels = torch.tensor([0, 1, 1, 3, 2, 4, 1, 3, 0])
    number = covering_specialists(labels, clusters, 5)
    assert number.tolist() == [1, 3, 3, 0, 1, 1, 3, 0, 1]
    generalist = torch.tensor([0, 1, 2, 3, 1, 4, 0, 4, 1])
    combined = torch.tensor([0, 1, 1, 3, 2, 4, 1, 4, 1])
    rows = coverage_rows(labels, generalist, combined, number)
    assert rows == [CoverageRow(0, 2, 1, 1), CoverageRow(1, 4, 2, 3), CoverageRow(3, 3, 1, 3)]
    assert [row.generalist_accuracy for row in rows] == [0.5, 0.5, 1 / 3]
    assert [row.combined_accuracy for row in rows] == [0.5, 0.75, 1]
    assert [row.relative_gain for row in rows] == [0, 0.5, 2]
    assert CoverageRow(2, 5, 0, 3).relative_gain is None


def test_no_frames_and_other_integers() -> None:
    nothing = torch.zeros(0).long()
    assert coverage_rows(nothing, nothing, nothing, covering_specialists(nothing, [], 4)) == []
    labels = torch.tensor([1, 3], dtype=torch.int16)
    assert covering_specialists(labels, [torch.tensor([3], dtype=torch.int32)], 4).tolist() == [0, 1]


def test_mistakes_are_named() -> None:
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="labels from 0 to 3, found 0 to 65535"):
        covering_specialists(torch.tensor([0, 65535]), [], 4)
    with pytest.raises(ValueError, match="cluster from 0 to 3, found 4 to 4"):
        covering_specialists(labels, [torch.tensor([4])], 4)
    with pytest.raises(ValueError, match=r"\(N,\), found \(1, 2\)"):
        covering_specialists(labels.unsqueeze(0), [], 4)
    with pytest.raises(ValueError, match=r"combined of shape \(2,\).*found \(3,\)"):
        coverage_rows(labels, labels, torch.zeros(3).long(), labels)
    with pytest.raises(ValueError, match="generalist of integers"):
        coverage_rows(labels, labels.float(), labels, labels)
