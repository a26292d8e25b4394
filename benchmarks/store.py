"""The soft-target store against what it feeds and what feeds it, and how it opens at 1,000 hours.

    python -m benchmarks.store

The nets are the CPU recipe's (4 x 512), the data is random; all on one thread.
"""

import json
import os
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import torch

from asrkd import DistillationLoss, SoftTargetStore
from asrkd.config import ModelConfig, TrainConfig
from asrkd.distill.records import record_bytes
from asrkd.distill.shards import FOOTER, MAGIC, SUFFIX, UTTERANCE
from asrkd.features.store import FrameStore, write_store
from asrkd.models.dnn import AcousticModel
from asrkd.train.device import autocast
from asrkd.train.forward import posteriors
from benchmarks.timing import seconds, table

MEL, BATCH, FRAMES_AN_HOUR = 40, TrainConfig().batch_size, 360_000


def write(path: Path, num_pdfs: int, top_k: int, frames: int, utterance: int = 1000) -> SoftTargetStore:
    generator = torch.Generator().manual_seed(0)
    probs = (3 * torch.randn(utterance, num_pdfs, generator=generator)).softmax(-1)
    for start in range(0, frames, 50_000):
        with SoftTargetStore.create(
            path, temperature=2.0, num_pdfs=num_pdfs, top_k=top_k, label_set="", features="", members=[],
            shard=f"{start:09d}",
        ) as writer:  # fmt: skip
            for first in range(start, min(start + 50_000, frames), utterance):
                writer.add(f"u{first}", probs, first=first)
    return SoftTargetStore.open(path)


def gathering(folder: Path) -> str:
    """Frames a second that the store gives, against those that a student's training takes."""
    frames, num_pdfs = 1_000_000, 500
    model = AcousticModel(MEL, num_pdfs, ModelConfig())
    model.initialise(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    inputs, labels = torch.randn(BATCH, 26 * MEL), torch.randint(num_pdfs, (BATCH,))
    loss = DistillationLoss(2.0, 0.5)
    top_k = write(folder / "top-k", num_pdfs, 50, frames)
    dense = write(folder / "dense", num_pdfs, 0, frames)
    batches = iter(torch.randint(frames, (2000, BATCH)))
    targets = top_k.gather(next(batches))

    def train() -> None:
        with autocast(torch.device("cpu"), "auto"):
            logits = model(inputs)
        total = loss(logits, targets, labels)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    times = seconds(
        {
            "training step": train,
            "gather, top-50": lambda: top_k.gather(next(batches)),
            "gather, dense": lambda: dense.gather(next(batches)),
        },
        repeats=100,
    )
    step = times["training step"]
    rows = [[name, f"{BATCH / t / 1000:.0f}k", f"{step / t:.0f}"] for name, t in times.items()]
    return table([f"{num_pdfs} pdfs, batches of {BATCH}", "frames a second", "times the training's"], rows)


def writing(folder: Path) -> str:
    """What the store adds to the teachers' forward pass."""
    num_pdfs, members = 2000, 10
    rng = np.random.default_rng(0)
    utterances = ((f"u{u}", "s", rng.normal(size=(1000, MEL)).astype(np.float32)) for u in range(20))
    write_store(folder / "frames", utterances, num_mel=MEL, dtype="float16")
    store = FrameStore.open(folder / "frames")
    models = [AcousticModel(MEL, num_pdfs, ModelConfig()) for _ in range(members)]
    for seed, model in enumerate(models):
        model.initialise(seed)
    rows = []
    begun = time.perf_counter()
    means = {name: mean for name, (mean,) in posteriors(models, store, temperatures=[2.0])}
    forward = time.perf_counter() - begun
    frames = len(store.frames)
    rows.append([f"forward pass of {members} members", f"{1e6 * forward / frames:.1f}", ""])
    for top_k in (50, 20, 0):
        begun = time.perf_counter()
        with SoftTargetStore.create(
            folder / f"written-{top_k}", temperature=2.0, num_pdfs=num_pdfs, top_k=top_k, label_set="", features="",
            members=[],
        ) as writer:  # fmt: skip
            for name, mean in means.items():
                writer.add(name, mean)
        taken = time.perf_counter() - begun
        form = f"writing, top-{top_k}" if top_k else "writing, dense"
        rows.append([form, f"{1e6 * taken / frames:.1f}", f"{100 * taken / forward:.1f} %"])
    return table([f"{num_pdfs:,} pdfs", "µs a frame", "of the forward pass"], rows)


def opening(folder: Path, hours: int, top_k: int = 20, num_pdfs: int = 14_000) -> list[str]:
    """Seconds and memory to open a store whose records are holes in sparse files: nothing reads them."""
    folder.mkdir()
    card = {"format": "asrkd soft targets 2", "temperature": 2.0, "num_pdfs": num_pdfs, "top_k": top_k,
            "label_set": "", "features": "", "members": []}  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    crc, width = zlib.crc32((folder / "card.json").read_bytes()), record_bytes(num_pdfs, top_k)
    shards, length = 64, 1200  # frames an utterance: 12 s
    utterances = hours * FRAMES_AN_HOUR // length // shards
    for s in range(shards):
        numbers = [s * utterances + u for u in range(utterances)]
        ids = "".join(f"1272-128104-{number:07d}\n" for number in numbers).encode()
        rows = b"".join(UTTERANCE.pack(number * length, length) for number in numbers) + ids
        with open(folder / f"{s:05d}.0000{SUFFIX}", "wb") as file:
            file.truncate(utterances * length * width)
            file.seek(0, 2)
            footer = (utterances * length, utterances, len(ids), width, 0, zlib.crc32(rows), crc)
            file.write(rows + FOOTER.pack(MAGIC, *footer))
    before = resident_megabytes()
    begun = time.perf_counter()
    store = SoftTargetStore.open(folder)
    taken = time.perf_counter() - begun
    memory = resident_megabytes() - before
    size = sum(shard.path.stat().st_size for shard in store.shards) / 2**30
    return [f"{hours:,} h", f"{len(store):,}", f"{size:.1f}", f"{taken:.2f}", f"{memory:.0f}"]


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        # First, while there is no memory of the others that could be given back meanwhile.
        opened = [opening(Path(name) / f"{hours}", hours) for hours in (10, 100, 1000)]
        print(gathering(Path(name)), writing(Path(name)), sep="\n\n")
        print("\n" + table(["top-20 of 14,000 pdfs", "utterances", "GiB", "seconds to open", "MB of memory"], opened))
