"""The generalist's targets among the frames that a specialist is trained on, against Bayes' rule on counts."""

from pathlib import Path

import pytest
import torch

from asrkd.distill.store import SoftTargetStore
from asrkd.specialists.combine import dustbin_correction
from asrkd.specialists.targets import ClusterTargets, of_cluster
from asrkd.specialists.trained import softened

CLUSTER = torch.tensor([2, 0])


def test_bayes_rule_on_counts() -> None:
    """Frames that look alike have pdfs 0 to 3 in these counts; those of the cluster are drawn three times as often."""
    counts = torch.tensor([5.0, 2.0, 1.0, 4.0], dtype=torch.float64)
    drawn = torch.tensor([3 * 1.0, 3 * 5.0, 2.0 + 4.0], dtype=torch.float64)
    found = of_cluster(counts / counts.sum(), CLUSTER, 3.0)
    torch.testing.assert_close(found, drawn / drawn.sum())


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_correction_takes_it_back(temperature: float) -> None:
    """At the temperature a logit is divided by, so is the correction."""
    probs = torch.rand(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    probs /= probs.sum(1, keepdim=True)
    plain = of_cluster(probs, CLUSTER, 1.0)
    torch.testing.assert_close(plain, torch.stack([probs[:, 2], probs[:, 0], probs[:, 1] + probs[:, 3]], 1))
    logits = temperature * of_cluster(probs, CLUSTER, 7.0, temperature).log()
    torch.testing.assert_close((dustbin_correction(logits, 7.0) / temperature).softmax(1), plain)


@pytest.mark.parametrize("top_k", [0, 2])
def test_from_a_store(top_k: int, tmp_path: Path) -> None:
    """Of the two most probable pdfs alone: the others share the rest evenly."""
    probs = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.2, 0.05, 0.65, 0.1]])
    with SoftTargetStore.create(
        tmp_path, temperature=1.0, num_pdfs=4, top_k=top_k, label_set="l", features="f", members=["m"]
    ) as writer:
        writer.add("u", probs)
    kept = probs.clone()
    if top_k:
        kept[1] = torch.tensor([0.2, 0.15 / 2, 0.65, 0.15 / 2])
    found = ClusterTargets(SoftTargetStore.open(tmp_path), CLUSTER, 3.0).gather(torch.tensor([[1], [0]]))
    assert found.shape == (2, 1, 3)
    torch.testing.assert_close(found.squeeze(1), of_cluster(kept[[1, 0]], CLUSTER, 3.0), atol=5e-3, rtol=0)


def test_softened() -> None:
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(softened(z.softmax(1), 2.0), (z / 2).softmax(1))
    assert softened(torch.tensor([[1.0, 0.0]]), 2.0).isfinite().all()
