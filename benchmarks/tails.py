"""What is lost by storing few of the pdfs, and what the loss makes of the rest, on an experiment's real posteriors.

    python -m benchmarks.tails exp/librispeech --seeds 2

Prints three tables, for k = 5, 10, 20, 50 and the dense 8-bit form at T = 1, 2, 5: the divergence of what is read back
from what was written, over the dev frames; the cosine of the loss's gradient with that of the dense targets, at a
student's random start and at its end; and the dev frame accuracy and cross-entropy of small students (3 x 256) trained
on such targets alone (hard_weight 0) from a tenth of the training utterances.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from asrkd import DistillationLoss, SoftTargets, SoftTargetStore, soft_cross_entropy
from asrkd.config import Config, RunConfig
from asrkd.corpus.subsets import stratified_subset
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json
from asrkd.models.dnn import AcousticModel, load_model
from asrkd.parallel import parallel
from asrkd.settings import load_config
from asrkd.systems import member_names, student_name
from asrkd.train.data import FrameData
from asrkd.train.forward import posteriors
from asrkd.train.loop import train_model
from benchmarks.timing import table

TEMPERATURES, KS, TAILS = (1.0, 2.0, 5.0), (5, 10, 20, 50), ("drop", "even", "mean", "lump")
SHARE, SAMPLE = 0.1, 20_000


def write_stores(exp: Path, config: Config, split: str, ids: list[str], folder: Path) -> dict[float, Tensor]:
    """Stores of every temperature and form; returns the mean distribution (C,) of each temperature."""
    models = [load_model(exp / "models" / name)[0] for name in member_names(config)]
    store = FrameStore.open(exp / "features" / split)
    num_pdfs = models[0].num_pdfs
    writers = {
        (t, k): SoftTargetStore.create(
            folder / f"{t:g}-{k}", temperature=t, num_pdfs=num_pdfs, top_k=k, label_set="", features="", members=[],
            shard="all",
        )
        for t in TEMPERATURES for k in (*KS, 0)
    }  # fmt: skip
    sums = {t: torch.zeros(num_pdfs, dtype=torch.float64) for t in TEMPERATURES}
    for name, means in posteriors(models, store, ids, TEMPERATURES):
        for t, probs in zip(TEMPERATURES, means, strict=True):
            sums[t] += probs.sum(0)
            for k in (*KS, 0):
                writers[t, k].add(name, probs, first=int(store.first[store.index[name]]))
    for writer in writers.values():
        writer.close()
    return {t: (total / total.sum()).float() for t, total in sums.items()}


def dev_sample(exp: Path, config: Config) -> Iterator[tuple[float, Tensor, FrameData, Tensor]]:
    """For each temperature the ensemble's distributions (N, C) of some dev frames, and where these lie."""
    models = [load_model(exp / "models" / name)[0] for name in member_names(config)]
    store = FrameStore.open(exp / "features" / "dev")
    data = FrameData.open(exp / "features" / "dev", exp / "align" / "dev", config.model)
    positions = torch.randperm(len(store.frames), generator=torch.Generator().manual_seed(0))[:SAMPLE].sort().values
    whole = [
        torch.cat(parts) for parts in zip(*(m for _, m in posteriors(models, store, None, TEMPERATURES)), strict=True)
    ]
    for t, probs in zip(TEMPERATURES, whole, strict=True):
        yield t, probs[positions], data, positions


def stored(probs: Tensor, k: int, folder: Path) -> SoftTargets | Tensor:
    """What a store gives back of these distributions."""
    with SoftTargetStore.create(
        folder, temperature=1.0, num_pdfs=probs.shape[1], top_k=k, label_set="", features="", members=[]
    ) as writer:
        writer.add("u", probs)
    return SoftTargetStore.open(folder)["u"]


def tail_of(name: str, mean: Tensor) -> str | Tensor:
    return mean if name == "mean" else name


def fidelity(exp: Path, config: Config, means: dict[float, Tensor], folder: Path) -> str:
    student = load_model(exp / "models" / student_name(config.distill.temperatures[0]))[0]
    fresh = AcousticModel(student.num_mel, student.num_pdfs, student.config)
    fresh.initialise(0)
    divergences, cosines = [], []
    for t, probs, data, positions in dev_sample(exp, config):
        inputs = data.batch(positions)[0].float()
        with torch.no_grad():
            logits = {"start": fresh.eval()(inputs), "end": student(inputs)}
        for k in (*KS, 0):
            targets = stored(probs, k, folder / f"{t:g}-{k}")
            back = targets if isinstance(targets, Tensor) else targets.dense(probs.shape[1])
            divergence = float(F.kl_div(back.clamp(min=1e-30).log(), probs, reduction="batchmean"))
            kept = "–" if isinstance(targets, Tensor) else f"{100 * float(1 - targets.tail.mean()):.1f} %"
            size = f"{4 * k + 4}" if k else f"{probs.shape[1]}"
            divergences.append([f"{t:g}", f"top-{k}" if k else "dense", size, kept, f"{divergence:.4f}"])
            if isinstance(targets, Tensor):
                continue
            row = [f"{t:g}", k]
            for tail in TAILS:
                for z in logits.values():
                    cosine = F.cosine_similarity(
                        gradient(z, targets, t, tail_of(tail, means[t])), gradient(z, probs, t, "even")
                    )
                    row.append(f"{float(cosine.mean()):.3f}")
            cosines.append(row)
    first = table(["T", "form", "bytes a frame", "mass kept", "KL(dense ‖ stored), nats"], divergences)
    head = ["T", "k", *(f"{tail}, {when}" for tail in TAILS for when in ("start", "end"))]
    return f"{first}\n\n{table(head, cosines)}"


def gradient(logits: Tensor, targets: SoftTargets | Tensor, temperature: float, tail: str | Tensor) -> Tensor:
    leaf = logits.detach().requires_grad_()
    soft_cross_entropy(leaf, targets, temperature, tail=tail).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def train_student(
    exp: Path, config: Config, ids: list[str], folder: Path, t: float, k: int, tail: str, mean: Tensor, seed: int
) -> None:
    train = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, ids)
    dev = FrameData.open(exp / "features" / "dev", exp / "align" / "dev", config.model)
    own = folder / f"{t:g}-{k}-{tail}-{seed}"
    try:
        train_model(
            own,
            train,
            dev,
            DistillationLoss(t, 0.0, tail=tail_of(tail, mean)),
            [SoftTargetStore.open(folder / f"{t:g}-{k}")],
            num_pdfs=read_json(exp / "align" / "label_set.json")["num_pdfs"],
            model_config=config.model,
            features=config.features,
            config=config.train,
            seed=seed,
            device=torch.device("cpu"),
            card={},
        )
    except UserError as error:  # a loss that is no longer finite
        print(str(error)[:200], flush=True)
        write_json(own / "card.json", {"dev_accuracy": math.nan, "dev_cross_entropy": math.nan})


def students(exp: Path, config: Config, ids: list[str], means: dict[float, Tensor], folder: Path, seeds: int) -> str:
    config = replace(config, model=replace(config.model, hidden_layers=3, hidden_size=256))
    ways = [(t, k, tail) for t in TEMPERATURES for k in KS for tail in TAILS] + [(t, 0, "even") for t in TEMPERATURES]
    jobs = [(exp, config, ids, folder, *way, means[way[0]], seed) for way in ways for seed in range(1, seeds + 1)]
    parallel(train_student, jobs, RunConfig(), what="students", unit="students")

    def found(t: float, k: int, tail: str) -> str:
        cards = [read_json(folder / f"{t:g}-{k}-{tail}-{seed}" / "card.json") for seed in range(1, seeds + 1)]
        accuracy, entropy = (sum(c[key] for c in cards) / seeds for key in ("dev_accuracy", "dev_cross_entropy"))
        return f"{accuracy:.1f} / {entropy:.2f}" if math.isfinite(accuracy) else "diverged"

    rows = [
        [f"{t:g}", k, *(found(t, k, tail) for tail in TAILS), found(t, 0, "even")] for t in TEMPERATURES for k in KS
    ]
    return table(["T", "k", *TAILS, "dense"], rows)


@click.command()
@click.argument("exp", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=2, show_default=True, help="Students of each kind.")
def main(exp: Path, seeds: int) -> None:
    config = load_config(exp / "config.yaml")
    store = FrameStore.open(exp / "features" / "train")
    ids = [store.ids[u] for u in stratified_subset(store.speakers, SHARE, config.limited.seed)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        means = write_stores(exp, config, "train", ids, folder / "train")
        print(fidelity(exp, config, means, folder / "dev"), flush=True)
        print("\n" + students(exp, config, ids, means, folder / "train", seeds))


if __name__ == "__main__":
    main()
