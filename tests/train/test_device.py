"""What a GPU would be given to do, where there is none: fake tensors have a device and a shape and no values.

An operation that takes a tensor of the processor beside one of the GPU raises, as it would there.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from asrkd.config import FeatureConfig, ModelConfig
from asrkd.distill.ensemble import ensemble_posteriors
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.targets import SoftTargets
from asrkd.models.dnn import AcousticModel, limit_norms
from asrkd.train.batches import Batch
from asrkd.train.jitter import jittered
from asrkd.train.loop import train_step
from asrkd.train.perturb import perturbed, speed_warps

MEL, PDFS, FRAMES, KEPT = 4, 7, 16, 3
MODEL = ModelConfig(hidden_layers=2, hidden_size=8, left=2, right=1, dropout=0.1)


def batch(kind: str) -> Batch:
    """As the memory map and the store give it: on the processor."""
    inputs, labels = torch.zeros(FRAMES, 4 * MEL, dtype=torch.float16), torch.zeros(FRAMES, dtype=torch.int64)
    if kind == "top-k":
        probs = torch.zeros(FRAMES, KEPT, dtype=torch.float16)
        return Batch(inputs, labels, SoftTargets(torch.zeros(FRAMES, KEPT, dtype=torch.int32), probs, probs[:, 0]), [])
    return Batch(inputs, labels, torch.zeros(FRAMES, PDFS) if kind == "dense" else None, [])


@pytest.mark.parametrize("kind", ["top-k", "dense", "hard"])
@pytest.mark.parametrize("tail", ["even", "lump", "drop"])
def test_forward_stays_on_the_gpu(kind: str, tail: str) -> None:
    gpu = torch.device("cuda", 0)
    with FakeTensorMode():
        with gpu:  # fake weights cannot be moved
            model = AcousticModel(MEL, PDFS, MODEL)
        loss = DistillationLoss(2.0, 1.0 if kind == "hard" else 0.5, tail)
        inputs, labels, targets, _ = batch(kind).to(gpu)
        logits = model(inputs.float())
        assert all(term.device == gpu for term in loss.terms(logits, targets, labels))
        mean = ensemble_posteriors([logits, logits], 2.0)
        assert mean.device == gpu and mean.shape == (FRAMES, PDFS)


def test_a_tensor_that_was_left_behind_is_noticed() -> None:
    """The test above can fail."""
    gpu = torch.device("cuda", 0)
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        with gpu:
            model = AcousticModel(MEL, PDFS, MODEL)
        DistillationLoss(1.0, 1.0).terms(model(batch("hard").to(gpu).inputs.float()), None, batch("hard").labels)


def test_what_is_done_to_inputs_and_weights_stays_on_the_gpu() -> None:
    gpu = torch.device("cuda", 0)
    real = speed_warps([0.9, 1.1], MODEL, FeatureConfig(num_mel_bins=MEL), torch.device("cpu"))
    with FakeTensorMode():
        warps = [(torch.zeros(window.shape, device=gpu), torch.zeros(bins.shape, device=gpu)) for window, bins in real]
        inputs = torch.zeros(FRAMES, len(warps[0][0][0]) * MEL, device=gpu)
        windows = perturbed(inputs, warps, [FRAMES // 2, FRAMES // 2])
        assert windows.device == gpu and windows.shape == (FRAMES, 4 * MEL)
        moved = jittered(windows, 1)  # 4 x 4
        assert moved.device == gpu and moved.shape == windows.shape
        with gpu:
            model = AcousticModel(MEL, PDFS, MODEL)
        limit_norms(model, 1.0)
        assert model.hidden[0].weight.device == gpu


@pytest.mark.parametrize("kind", ["top-k", "dense", "hard"])
def test_a_whole_step_on_another_device(kind: str) -> None:
    """Backward on a fake GPU asks for the driver; meta tensors, which have no values either, need none."""
    meta = torch.device("meta")
    model = AcousticModel(MEL, PDFS, MODEL).to(meta)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = DistillationLoss(2.0, 1.0 if kind == "hard" else 0.5)
    on_meta = batch(kind).to(meta)
    on_meta = on_meta._replace(inputs=on_meta.inputs.float())
    sums = train_step(model, loss, optimizer, on_meta, "float32", 1 / FRAMES)
    assert sums.device == meta and sums.shape == (4,)
    for weight in model.parameters():
        assert weight.grad is not None and weight.grad.device == meta
        assert optimizer.state[weight]["momentum_buffer"].device == meta
