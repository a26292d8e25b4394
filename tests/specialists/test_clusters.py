"""The covariance against numpy's, the clusters against blocks and against all assignments there are."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkd.specialists.clusters import (
    cluster_pdfs,
    confused_pdfs,
    correlation,
    covariance,
    describe,
    first_clusters,
    move_columns,
    sum_of_squares,
)


def posteriors(frames: int, num_pdfs: int, seed: int = 0) -> Tensor:
    return (3 * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def confused(blocks: Tensor, frames: int, seed: int) -> Tensor:
    """Posteriors of a generalist that spreads 0.95 over the pdfs of one block, whose numbers blocks (C,) holds."""
    generator = torch.Generator().manual_seed(seed)
    of_frame = torch.randint(int(blocks.max()) + 1, (frames,), generator=generator)
    logits = 0.3 * torch.randn(frames, len(blocks), generator=generator)
    inside = blocks == of_frame.unsqueeze(1)  # (N, C)
    within = logits.masked_fill(~inside, -torch.inf).softmax(1)
    return 0.95 * within + 0.05 * logits.softmax(1)


def as_sets(clusters: Tensor) -> set[frozenset[int]]:
    return {frozenset((clusters == k).nonzero().squeeze(1).tolist()) for k in clusters.unique().tolist()}


def test_covariance_is_numpys_of_all_rows() -> None:
    p = posteriors(1000, 12)
    found = covariance(iter(p.split([1, 0, 500, 499])))
    assert found.dtype == torch.float64
    expected = np.cov(p.double().numpy(), rowvar=False)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-15)
    half = p.to(torch.bfloat16)
    np.testing.assert_allclose(covariance([half]).numpy(), np.cov(half.double().numpy(), rowvar=False), atol=1e-15)


def test_covariance_of_pdfs_that_are_hardly_ever_predicted() -> None:
    p = posteriors(2000, 6).double() * torch.tensor([1, 1, 1, 1e-5, 1e-6, 1e-7], dtype=torch.float64)
    expected = np.cov(p.numpy(), rowvar=False)
    np.testing.assert_allclose(covariance(p.split(300)).numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("seed", range(10))
def test_confusions_in_blocks_are_the_clusters(seed: int) -> None:
    blocks = (torch.arange(40) * 7) % 40 % 5  # 8 pdfs in each of 5, mixed
    clusters = cluster_pdfs(covariance([confused(blocks, 3000, seed)]), 5, seed)
    assert as_sets(clusters) == as_sets(blocks)


def test_tiny_cases_against_all_assignments() -> None:
    # K-means promises no more than that no column is nearer to another mean.
    assignments = [torch.tensor(assignment) for assignment in itertools.product(range(3), repeat=6)]
    above = []
    for seed in range(20):
        columns = covariance([posteriors(30, 6, seed)])
        best = min(sum_of_squares(columns, assignment) for assignment in assignments)
        above.append(sum_of_squares(columns, cluster_pdfs(columns, 3, seed)) / best)
    assert min(above) > 1 - 1e-9
    assert max(above) < 1.2
    assert sum(ratio < 1 + 1e-9 for ratio in above) >= 16


def test_sum_of_squares_by_hand() -> None:
    columns = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]]).double()
    assert sum_of_squares(columns, torch.tensor([0, 0, 1])) == 2  # both are 1 from (1, 0)
    assert sum_of_squares(columns, torch.tensor([1, 1, 1])) == pytest.approx(88 / 3)  # the mean is (7/3, 5/3)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 6), st.data())
def test_passes_never_raise_the_sum_of_squares(seed: int, num_pdfs: int, twice: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, num_pdfs + twice))
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(num_pdfs, 3, generator=generator, dtype=torch.float64)
    columns = torch.cat([columns, columns[torch.arange(twice) % num_pdfs]])  # some columns several times
    start = first_clusters(columns, k, generator)
    end = move_columns(columns, start, generator)
    assert start.bincount(minlength=k).min() > 0 and end.bincount(minlength=k).min() > 0
    assert len(start.bincount()) == len(end.bincount()) == k
    assert sum_of_squares(columns, end) <= sum_of_squares(columns, start) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_means_move_with_each_column(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    start = torch.arange(60) % 5
    found = move_columns(columns, start, torch.Generator().manual_seed(seed))
    again, clusters, before = torch.Generator().manual_seed(seed), start.clone(), None
    while before is None or not torch.equal(before, clusters):
        before = clusters.clone()
        for pdf in torch.randperm(60, generator=again).tolist():
            means = torch.stack([columns[clusters == k].mean(0) for k in range(5)])  # of all columns, each time
            clusters[pdf] = (means - columns[pdf]).norm(dim=1).argmin()
    assert torch.equal(found, clusters)


def test_at_the_end_each_column_is_with_the_nearest_mean() -> None:
    columns = covariance([posteriors(200, 60)])
    clusters = cluster_pdfs(columns, 8, 3)
    means = torch.stack([columns[clusters == k].mean(0) for k in range(8)])
    alone = clusters.bincount()[clusters] == 1
    nearest = torch.cdist(columns, means).argmin(1)
    assert ((nearest == clusters) | alone).all()


def test_the_seed_decides() -> None:
    of_pdfs = covariance([posteriors(50, 40)])
    found = [cluster_pdfs(of_pdfs, 6, seed) for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(found[0], found[1])
    assert any(not torch.equal(found[0], other) for other in found[2:])
    torch.rand(1)  # the global state has no part in it
    assert torch.equal(found[0], cluster_pdfs(of_pdfs, 6, 1))


def test_columns_that_are_all_the_same_still_fill_the_clusters() -> None:
    assert cluster_pdfs(torch.zeros(5, 5), 3, 0).bincount().tolist() == [3, 1, 1]
    assert as_sets(cluster_pdfs(torch.eye(4), 4, 0)) == {frozenset([pdf]) for pdf in range(4)}
    assert cluster_pdfs(torch.eye(4), 1, 0).tolist() == [0] * 4


def test_describe() -> None:
    clusters = torch.tensor([1, 0, 1, 1, 2, 0, 1, 2])
    phones = ["b", "s", "p", "p", "sil", "z", "a", "sil"]
    assert describe(clusters, phones) == [[("s", 1), ("z", 1)], [("p", 2), ("a", 1), ("b", 1)], [("sil", 2)]]


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(N, C\) of floats, found torch.float32 of \(3,\)"):
        covariance([torch.ones(3)])
    with pytest.raises(ValueError, match=r"torch.int64"):
        covariance([torch.ones(3, 3).long()])
    with pytest.raises(ValueError, match=r"3 pdfs.*found 4"):
        covariance([torch.ones(3, 3), torch.ones(3, 4)])
    with pytest.raises(ValueError, match="2 frames, found 1"):
        covariance([torch.ones(1, 3)])
    with pytest.raises(ValueError, match="2 frames, found 0"):
        covariance([])
    with pytest.raises(ValueError, match=r"\(C, C\), found \(3, 4\)"):
        cluster_pdfs(torch.ones(3, 4), 2, 0)
    for number in (0, 4):
        with pytest.raises(ValueError, match=f"from 1 to 3 clusters.*found {number}"):
            cluster_pdfs(torch.eye(3), number, 0)
    with pytest.raises(ValueError, match=r"\(2,\).*found \(3,\)"):
        describe(torch.zeros(3).long(), ["a", "b"])
    with pytest.raises(ValueError, match="integers"):
        describe(torch.zeros(2), ["a", "b"])


def test_correlation_is_numpys_and_0_of_what_never_varies() -> None:
    p = posteriors(500, 6).double()
    np.testing.assert_allclose(correlation(covariance([p])).numpy(), np.corrcoef(p.numpy(), rowvar=False), atol=1e-12)
    constant = p.clone()
    constant[:, 2] = 0
    found = correlation(covariance([constant]))
    assert found.isfinite().all() and not found[2].any() and not found[:, 2].any()
    assert found[0, 0] == pytest.approx(1)


def test_confused_pdfs_are_those_that_vary_with_the_cluster() -> None:
    """By the definition: the covariance of each pdf's predictions with the sum of those of the cluster."""
    blocks = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    p = confused(blocks, 4000, seed=5)
    clusters = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 2, 2])  # pdf 2 is in the wrong one
    found = confused_pdfs(covariance([p]), clusters, 3)
    for number, pdfs in enumerate(found):
        total = p[:, clusters == number].sum(1).numpy()
        expected = np.argsort([-np.cov(p[:, pdf].numpy(), total)[0, 1] for pdf in range(len(blocks))])[:3]
        assert pdfs.tolist() == sorted(expected.tolist())
    assert found[0].tolist() == [0, 1, 2]  # it is found all the same
    for size in (0, 10):
        with pytest.raises(ValueError, match=f"size from 1 to 9, found {size}"):
            confused_pdfs(covariance([p]), clusters, size)
