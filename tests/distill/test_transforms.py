"""The loss under autocast, torch.compile, torch.func and data-parallel training."""

import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from asrkd import DistillationLoss, SoftTargets

C = 9


def batch(frames: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs (N, 5), teacher probabilities (N, C), labels and mask (N)."""
    generator = torch.Generator().manual_seed(seed)
    inputs, teacher = torch.randn(frames, 5, generator=generator), torch.randn(frames, C, generator=generator)
    mask = torch.rand(frames, generator=generator) < 0.7
    return inputs, (teacher / 2).softmax(-1), torch.arange(frames) % C, mask


def top_k(probs: Tensor, k: int = 4) -> SoftTargets:
    kept, ids = probs.topk(k)
    return SoftTargets(ids, kept, 1 - kept.sum(-1))


def student() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(5, C)


@pytest.mark.parametrize("dense", [True, False])
def test_autocast_keeps_the_loss_in_float32(dense: bool) -> None:
    inputs, probs, labels, mask = batch()
    model, loss = student(), DistillationLoss(2.0, 0.5)
    targets = probs if dense else top_k(probs)
    with torch.autocast("cpu", torch.bfloat16):
        z = model(inputs)
        assert z.dtype == torch.bfloat16
        inside = loss(z, targets, labels, mask)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(z.float(), targets, labels, mask))
    inside.backward()
    assert model.weight.grad is not None and model.weight.grad.isfinite().all()


# torch's own tracing of an autograd function makes an object of it, and warns that one should not.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
def test_compiles_without_a_graph_break(tail: str) -> None:
    inputs, probs, labels, mask = batch()
    loss = DistillationLoss(2.0, 0.5, tail=torch.ones(C) if tail == "given" else tail)
    z = student()(inputs).detach()
    torch.compiler.reset()
    # The tracing alone: "aot_eager" takes forward and backward into graphs and generates no code.
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for targets in (probs, top_k(probs)):
        one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
        expected, found = loss(one, targets, labels, mask), compiled(other, targets, labels, mask)
        torch.testing.assert_close(found, expected)
        expected.backward()
        found.backward()
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(other.grad, one.grad)


@pytest.mark.parametrize("dense", [True, False])
def test_vmap_over_utterances_and_gradients_of_each(dense: bool) -> None:
    inputs, probs, labels, mask = (tensor.view(3, 4, *tensor.shape[1:]) for tensor in batch())
    z, loss = student()(inputs).detach(), DistillationLoss(2.0, 0.5)

    def one(z: Tensor, probs: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return loss(z, probs if dense else top_k(probs), labels, mask)

    expected = torch.stack([one(*row) for row in zip(z, probs, labels, mask, strict=True)])
    torch.testing.assert_close(torch.func.vmap(one)(z, probs, labels, mask), expected)
    each = torch.func.vmap(torch.func.grad(one))(z, probs, labels, mask)
    whole = z.clone().requires_grad_()
    torch.stack([one(*row) for row in zip(whole, probs, labels, mask, strict=True)]).sum().backward()
    assert whole.grad is not None
    torch.testing.assert_close(each, whole.grad)


@pytest.mark.parametrize("tail", ["even", "given", "drop", "lump"])
def test_vmap_over_a_part_of_the_targets(tail: str) -> None:
    inputs, probs, _, _ = (tensor.view(3, 4, *tensor.shape[1:]) for tensor in batch())
    z, loss = student()(inputs).detach(), DistillationLoss(2.0, 0.0, torch.ones(C) if tail == "given" else tail)
    ids = torch.arange(4).expand(4, 4)  # the same pdfs in all utterances

    def one(z: Tensor, probs: Tensor) -> Tensor:
        named = probs.gather(-1, ids)
        return loss(z, SoftTargets(ids, named, 1 - named.sum(-1)))

    expected = torch.stack([one(*row) for row in zip(z, probs, strict=True)])
    torch.testing.assert_close(torch.func.vmap(one)(z, probs), expected)


def test_vmap_cannot_validate() -> None:
    inputs, probs, _, _ = batch()
    loss = DistillationLoss(2.0, 0.0, validate=True)
    with pytest.raises(ValueError, match=r"validate=False under torch\.func"):
        torch.func.vmap(loss)(student()(inputs).detach(), probs)


def _worker(rank: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = DistributedDataParallel(student())
    inputs, probs, labels, _ = (tensor[rank::2] for tensor in batch())
    DistillationLoss(2.0, 0.5)(model(inputs), top_k(probs), labels).backward()
    torch.save(model.module.weight.grad, f"{folder}/gradient{rank}.pt")
    dist.destroy_process_group()


def test_two_data_parallel_processes_have_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    spawn(_worker, (str(tmp_path),), nprocs=2)
    inputs, probs, labels, _ = batch()
    model = student()
    DistillationLoss(2.0, 0.5)(model(inputs), top_k(probs), labels).backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"gradient{rank}.pt", weights_only=True), model.weight.grad)
