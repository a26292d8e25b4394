"""One model, trained: what a job of `jobs.train_models` does."""

import time
from collections.abc import Mapping
from pathlib import Path

from asrkd.config import Config
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.shards import verify_shard
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.files import read_json
from asrkd.torchrun import rank, world
from asrkd.train import ranks
from asrkd.train.checkpoint import CHECKPOINT
from asrkd.train.data import FrameData
from asrkd.train.device import choose_device
from asrkd.train.loop import train_model
from asrkd.train.training import Training

OUTPUTS = ("model.safetensors", "card.json")  # not the curves: they hold times, which differ from run to run


def train(exp: Path, config: Config, training: Training, step: Step) -> None:
    """Train the model of a step that has begun, and finish the step; nothing where a job before has finished it.

    Raises UserError when an input is missing or damaged or a loss is no longer finite.
    """
    if step.is_finished():
        return
    step.started = time.monotonic()  # the wait for a core is no training
    label_set = read_json(exp / "align" / "label_set.json")
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, training.utterances)
    dev = FrameData.open(exp / "features" / "dev", exp / "align" / "dev", config.model)
    targets = []
    if training.hard_weight < 1:
        counts = {data.ids[u]: data.frames_of(u) for u in data.utterances()}
        features = step.inputs["features/train"]
        folders = training.target_folders(config.train.speeds)
        targets = [open_targets(exp / folder, label_set["hash"], features, counts) for folder in folders]
    train_model(
        step.folder,
        data,
        dev,
        DistillationLoss(training.temperature, training.hard_weight, config.distill.tail),
        targets,
        num_pdfs=label_set["num_pdfs"],
        model_config=config.model,
        features=config.features,
        config=config.train,
        seed=training.seed,
        device=choose_device(config.run.device),
        compiled=config.run.compile,
        card={"label_set": label_set["hash"], "inputs": step.inputs, "frames": len(data), **training.about},
    )
    if rank() == 0:
        step.finish(OUTPUTS)
        (step.folder / CHECKPOINT).unlink(missing_ok=True)
    ranks.wait_for_all()


def open_targets(folder: Path, label_set: str, features: str, frames: Mapping[str, int]) -> SoftTargetStore:
    """All of it read once, under torchrun a share by each process. Raises UserError when it is damaged or not of these
    labels, features and frame counts."""
    try:
        store = SoftTargetStore.open(folder, label_set=label_set, features=features, frames=frames)
        for shard in store.shards[rank() :: world()]:
            verify_shard(shard)
        return store
    except UserError as error:
        # Its stamp says "finished" and may fit all the same, hence --force. What is not of stage 5 is made by the call
        # that needs it.
        of_stage_5 = folder.parent.name == "targets" and folder.name.startswith("train-")
        mend = "run.sh --stage 5 --stop-stage 5 --force" if of_stage_5 else f"delete {folder} and make this call again"
        raise UserError(f"{error} ({mend})") from None
