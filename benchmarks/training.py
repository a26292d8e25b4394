"""Training against the machine's matrix products and against peers, stage 5's forward pass against the products alone.

    python -m benchmarks.training          on made-up frames, a few minutes
    python -m benchmarks.training EXP      the peers alone, an epoch over EXP's frames each, with its dev accuracy

asrkd and the products run in one one-thread process a core, as stages 4, 5 and 7 do, and their rates are added up; the
peers have all cores. All of them compute bfloat16 where the processor does, and the machine's table has float32 too.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from asrkd.config import FeatureConfig, ModelConfig, RunConfig, TrainConfig
from asrkd.distill.loss import DistillationLoss
from asrkd.distill.store import SoftTargetStore
from asrkd.features.store import FrameStore, write_store
from asrkd.files import read_json, read_jsonl, write_npy
from asrkd.models.dnn import AcousticModel
from asrkd.parallel import cores, parallel
from asrkd.settings import load_config
from asrkd.train.data import LABELS, FrameData
from asrkd.train.device import computes_bfloat16
from asrkd.train.forward import posteriors
from asrkd.train.loop import train_model
from benchmarks.peers import brain_epoch, loader_epoch
from benchmarks.timing import table

MEL, PDFS, BATCH, MEMBERS, REPEATS = 40, 500, TrainConfig().batch_size, 10, 3
NETS = {"4 x 512": ModelConfig(), "5 x 1024": ModelConfig(hidden_layers=5, hidden_size=1024)}
FORWARD_ROWS = 4096
CPU = torch.device("cpu")


def sizes(model: ModelConfig) -> list[int]:
    return [(model.left + 1 + model.right) * MEL, *[model.hidden_size] * model.hidden_layers, PDFS]


def forward_flops(model: ModelConfig) -> int:
    """Of a frame; each weight multiplies and adds."""
    return sum(2 * fan_in * fan_out for fan_in, fan_out in pairwise(sizes(model)))


def training_flops(model: ModelConfig) -> int:
    """Of a frame: forward, the weights' gradient, and the inputs' but for the first layer's."""
    first, second, *_ = sizes(model)
    return 3 * forward_flops(model) - 2 * first * second


def products(model: ModelConfig, precision: str, rows: int, backward: bool, steps: int) -> float:
    """Frames a second of the net's matrix products, into buffers that are there."""
    dtype = getattr(torch, precision)
    layers = [
        tuple(torch.randn(*shape).to(dtype) for shape in ((rows, a), (b, a), (rows, b), (b, a), (rows, a)))
        for a, b in pairwise(sizes(model))
    ]

    def step() -> None:
        for x, weight, y, _, _ in layers:
            torch.mm(x, weight.t(), out=y)
        if backward:
            for number, (x, weight, y, of_weight, of_x) in enumerate(layers):
                torch.mm(y.t(), x, out=of_weight)
                if number:
                    torch.mm(y, weight, out=of_x)

    step()
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * rows / (time.perf_counter() - begun)


def train(data: Path, model: ModelConfig, precision: str, into: Path) -> float:
    """Frames a second of an epoch of the product's loop."""
    opened = FrameData.open(data, data, model)
    with tempfile.TemporaryDirectory(dir=into) as folder, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        train_model(
            Path(folder),
            opened,
            FrameData.open(data, data, model, opened.ids[:2]),
            DistillationLoss(1.0, 1.0),
            [],
            num_pdfs=PDFS,
            model_config=model,
            features=FeatureConfig(),
            config=TrainConfig(epochs=1, epoch_frames=1, precision=precision),
            seed=0,
            device=CPU,
            card={},
        )
        return float(read_jsonl(Path(folder) / "curves.jsonl")[0]["frames_per_second"])


def teach(data: Path, precision: str, into: Path) -> float:
    """Frames a second of stage 5's work: ten members, their mean at T = 2, the store."""
    store = FrameStore.open(data)
    models = [AcousticModel(MEL, PDFS, ModelConfig()) for _ in range(MEMBERS)]
    for seed, model in enumerate(models):
        model.initialise(seed)
    chosen = store.ids[: len(store.ids) // 2]
    with tempfile.TemporaryDirectory(dir=into) as folder:
        begun = time.perf_counter()
        with SoftTargetStore.create(
            Path(folder) / "targets", temperature=2.0, num_pdfs=PDFS, top_k=0, label_set="", features="", members=[]
        ) as writer:
            for name, (mean,) in posteriors(models, store, chosen, [2.0], precision):
                writer.add(name, mean, first=int(store.first[store.index[name]]))
        return sum(int(store.counts[store.index[name]]) for name in chosen) / (time.perf_counter() - begun)


def on_all_cores(function: Callable[[], float]) -> float:
    jobs: list[tuple[()]] = [() for _ in range(cores())]
    return sum(parallel(function, jobs, RunConfig(), what="benchmark", lone=False))


def rates(contenders: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median rate of each; they take turns, so that a slow moment of the machine hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, function in contenders.items():
            found[name].append(function())
    return {name: statistics.median(each) for name, each in found.items()}


def make_frames(folder: Path, utterances: int = 32, length: int = 1024) -> None:
    rng = np.random.default_rng(0)
    rows = ((f"u{u}", "s", rng.normal(size=(length, MEL)).astype(np.float32)) for u in range(utterances))
    write_store(folder, rows, num_mel=MEL, dtype="float16")
    write_npy(folder / LABELS, rng.integers(PDFS, size=utterances * length).astype(np.uint16))


def machine(data: Path, precision: str, into: Path) -> str:
    rows: list[tuple[str, int, float, float]] = []
    for name, model in NETS.items():
        found = rates(
            {
                "products": partial(on_all_cores, partial(products, model, precision, BATCH, True, 40)),
                "training": partial(on_all_cores, partial(train, data, model, precision, into)),
            }
        )
        rows.append((f"training, {name}, batch {BATCH}", training_flops(model), found["products"], found["training"]))
    model = ModelConfig()
    found = rates(
        {
            "products": partial(on_all_cores, partial(products, model, precision, FORWARD_ROWS, False, 20)),
            "targets": partial(on_all_cores, partial(teach, data, precision, into)),
        }
    )
    what = f"soft targets of {MEMBERS} members of 4 x 512, on disk"
    rows.append((what, MEMBERS * forward_flops(model), found["products"] / MEMBERS, found["targets"]))
    of = f"{cores()} cores, {PDFS} pdfs, {precision}"
    return table(
        [of, "GFLOP/s of the products", "achieved", "ratio", "frames a second"],
        [
            [what, f"{flops * limit / 1e9:.0f}", f"{flops * rate / 1e9:.0f}", f"{rate / limit:.2f}", f"{rate:,.0f}"]
            for what, flops, limit, rate in rows
        ],
    )


def peers(data: Path, into: Path) -> str:
    model = ModelConfig(dropout=0.0)  # the peers' net has none
    frames = FrameData.open(data, data, model)
    found = rates(
        {
            "asrkd, a model a core": partial(on_all_cores, partial(train, data, model, "auto", into)),
            "torch Dataset and DataLoader": lambda: loader_epoch(frames, PDFS, 40 * BATCH, TrainConfig())[0],
            "SpeechBrain's Brain": lambda: brain_epoch(frames, PDFS, 40 * BATCH, TrainConfig())[0],
        }
    )
    first = next(iter(found.values()))
    return table(
        ["4 x 512", "frames a second", "asrkd's, times"],
        [[name, f"{rate:,.0f}", f"{first / rate:.1f}"] for name, rate in found.items()],
    )


def accuracies(exp: Path, into: Path) -> str:
    """Dev frame accuracy of each after one epoch of the config's training, without dropout."""
    config: TrainConfig = replace(load_config(exp / "config.yaml").train, epochs=1)
    model = ModelConfig(dropout=0.0)
    data = {split: FrameData.open(exp / "features" / split, exp / "align" / split, model) for split in ("train", "dev")}
    pdfs = int(read_json(exp / "align" / "label_set.json")["num_pdfs"])
    rows = []
    with tempfile.TemporaryDirectory(dir=into) as folder:
        train_model(
            Path(folder),
            data["train"],
            data["dev"],
            DistillationLoss(1.0, 1.0),
            [],
            num_pdfs=pdfs,
            model_config=model,
            features=FeatureConfig(),
            config=config,
            seed=0,
            device=CPU,
            card={},
        )
        curve = read_jsonl(Path(folder) / "curves.jsonl")[0]
        rows.append(["asrkd, one model on all cores", curve["frames_per_second"], curve["dev_accuracy"]])
    for name, epoch in (("torch Dataset and DataLoader", loader_epoch), ("SpeechBrain's Brain", brain_epoch)):
        rate, accuracy = epoch(data["train"], pdfs, len(data["train"]), config, data["dev"])
        rows.append([name, rate, accuracy])
    return table(
        ["an epoch", "frames a second", "dev frame accuracy"],
        [[name, f"{rate:,.0f}", f"{accuracy:.2f}"] for name, rate, accuracy in rows],
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if len(sys.argv) > 1:
            print(accuracies(Path(sys.argv[1]), folder))
        else:
            make_frames(folder / "frames")
            for precision in ["float32", *(["bfloat16"] if computes_bfloat16(CPU) else [])]:
                print(machine(folder / "frames", precision, folder), end="\n\n", flush=True)
            print(peers(folder / "frames", folder))
