"""One specialist, trained: a parallel job of stage 11."""

import time
from dataclasses import replace
from pathlib import Path

import torch

from asrkd.config import Config
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.files import read_json
from asrkd.models.dnn import load_model
from asrkd.specialists.grouping import CLUSTERS
from asrkd.specialists.start import starting_weights
from asrkd.specialists.targets import ClusterTargets
from asrkd.train.checkpoint import CHECKPOINT
from asrkd.train.data import FrameData
from asrkd.train.device import choose_device
from asrkd.train.halves import Halves, balanced
from asrkd.train.job import OUTPUTS
from asrkd.train.loop import train_model


def train_specialist(
    exp: Path, config: Config, generalist_name: str, number: int, seed: int, targets: Path | None, step: Step
) -> None:
    """Train the specialist of a cluster, from 0, into the folder of a step that has begun, and finish the step; nothing
    where a job before has finished it.

    targets: the store of the generalist's soft targets; None trains on hard targets alone. Raises UserError when an
    input is missing or damaged, a half of the batches would be empty, or a loss is no longer finite.
    """
    if step.is_finished():
        return
    step.started = time.monotonic()  # the wait for a core is no training
    own = config.specialists
    label_set = read_json(exp / "align" / "label_set.json")
    generalist, _ = load_model(exp / "models" / generalist_name)
    clusters = read_json(exp / "specialists" / "clusters" / CLUSTERS)
    pdfs = torch.tensor(clusters["specialists"][number]["pdfs"])
    classes = torch.full((label_set["num_pdfs"],), len(pdfs))  # the dustbin
    classes[pdfs] = torch.arange(len(pdfs))

    features, labels, shape = exp / "features", exp / "align", generalist.config
    train = replace(FrameData.open(features / "train", labels / "train", shape), classes=classes)
    dev = replace(FrameData.open(features / "dev", labels / "dev", shape), classes=classes)
    others = (classes == len(pdfs)).nonzero().squeeze(1).tolist()
    halves = Halves(
        FrameData.open(features / "train", labels / "train", shape, pdfs=pdfs.tolist()),
        FrameData.open(features / "train", labels / "train", shape, pdfs=others),
    )
    soft = SoftTargetStore.open(targets) if targets else None
    judged = balanced(dev, len(pdfs))
    if not len(judged):
        raise UserError(
            f"{labels / 'dev'}: expected frames of the {len(pdfs)} pdfs of {step.folder.name}, found none; set fewer "
            "specialists.count or more specialists.pdfs"
        )
    ratio = halves.sampling_ratio
    about = {"cluster": pdfs.tolist(), "sampling_ratio": ratio, "generalist": generalist_name}
    train_model(
        step.folder,
        train,
        dev,
        DistillationLoss(own.temperature, own.hard_weight if soft else 1.0),
        # Of the frames as they were said, at any speed.
        [ClusterTargets(soft, pdfs, ratio)] * len(config.train.speeds) if soft else [],
        num_pdfs=len(pdfs) + 1,
        model_config=shape,
        features=config.features,
        config=config.train,
        seed=seed,
        device=choose_device(config.run.device),
        compiled=config.run.compile,
        start=starting_weights(generalist, pdfs, torch.tensor(clusters["frames"]), ratio),
        halves=halves,
        dev_numbers=judged,
        card={"label_set": label_set["hash"], "inputs": step.inputs, "frames": len(halves.cluster), **about},
    )
    step.finish(OUTPUTS)
    (step.folder / CHECKPOINT).unlink(missing_ok=True)
