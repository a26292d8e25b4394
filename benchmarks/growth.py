"""How time and memory grow with the hours of speech.

    python -m benchmarks.growth          the frames, the utterance table and the loader at 1, 10 and 100 made-up hours
    python -m benchmarks.growth EXP      stages 0 to 5 (4 with one epoch of one member) on 1/9, 1/3 and all of EXP's
                                         training cuts

Memory is the peak of what belongs to the processes alone (RssAnon of all together), without the pages of mapped files.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from asrkd.config import ModelConfig, TrainConfig
from asrkd.corpus.cuts import read_cuts
from asrkd.features.store import FRAMES, UTTERANCES, FrameStore
from asrkd.files import write_jsonl
from asrkd.settings import load_config, save_config
from asrkd.train.data import LABELS, FrameData
from asrkd.train.order import positions_of_steps
from benchmarks.timing import table

STEPS = ("data", "features", "lang", "align", "train", "soft-targets")
ONE_MODEL = ("ensemble.members=1", "train.epochs=1", "distill.top_k=0")
FRAMES_AN_HOUR, UTTERANCE, MEL = 360_000, 1200, 40


class Peak:
    """The peak of this process's and its descendants' own memory while the block runs, in MB."""

    def __enter__(self) -> "Peak":
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.megabytes = max(self.megabytes, sum(own_memory(pid) for pid in descendants(os.getpid())) / 1e3)


def descendants(pid: int) -> list[int]:
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [pid for child in children.read_text().split() for pid in descendants(int(child))]
        except OSError:  # it has ended
            continue
    return found


def own_memory(pid: int) -> int:
    """kB"""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def stages(exp: Path) -> str:
    cuts = {split: read_cuts(exp / "data" / f"{split}.jsonl.gz").to_eager() for split in ("train", "dev", "test")}
    rows = []
    before = 0.0
    with Peak() as idle:
        time.sleep(0.2)
    before = idle.megabytes
    for share in (1 / 9, 1 / 3, 1.0):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "exp"
            chosen = cuts["train"].subset(first=round(share * len(cuts["train"])))
            hours = sum(cut.duration for cut in chosen) / 3600
            files = {**cuts, "train": chosen}
            for split, own in files.items():
                own.to_file(Path(temporary) / f"{split}.jsonl.gz")
            named = [f"data.{split}={temporary}/{split}.jsonl.gz" for split in files]
            config = load_config(exp / "config.yaml", overrides=[*named, *ONE_MODEL])
            folder.mkdir()
            save_config(config, folder / "config.yaml")
            for step in STEPS:
                begun = time.perf_counter()
                with Peak() as peak:
                    subprocess.run(
                        [sys.executable, "-m", "asrkd", step, str(folder)], check=True, stdout=subprocess.DEVNULL
                    )
                taken = time.perf_counter() - begun
                rows.append([step, hours, taken, peak.megabytes - before])
    rows.sort(key=lambda row: STEPS.index(str(row[0])))
    head = ["step", "hours", "seconds", "MB of memory"]
    return table(head, [[step, f"{hours:.1f}", f"{taken:.1f}", f"{memory:.0f}"] for step, hours, taken, memory in rows])


def write_hours(folder: Path, hours: int) -> None:
    """A FrameStore and its labels of so many hours, all of them the same noise."""
    frames = hours * FRAMES_AN_HOUR
    rng = np.random.default_rng(0)
    block = rng.normal(size=(FRAMES_AN_HOUR, MEL)).astype(np.float16)
    stored = np.lib.format.open_memmap(folder / FRAMES, mode="w+", dtype=np.float16, shape=(frames, MEL))
    labels = np.lib.format.open_memmap(folder / LABELS, mode="w+", dtype=np.uint16, shape=(frames,))
    for begin in range(0, frames, len(block)):
        stored[begin : begin + len(block)] = block
        labels[begin : begin + len(block)] = rng.integers(500, size=len(block))
    stored.flush()
    labels.flush()
    write_jsonl(
        folder / UTTERANCES,
        (
            {"id": f"u{u}", "speaker": f"s{u % 100}", "first": u * UTTERANCE, "frames": UTTERANCE}
            for u in range(frames // UTTERANCE)
        ),
    )


def loading() -> str:
    rows = []
    steps = 300
    for hours in (1, 10, 100):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_hours(folder, hours)
            with Peak() as idle:
                time.sleep(0.2)
            with Peak() as peak:
                begun = time.perf_counter()
                FrameStore.open(folder)
                table_opened = time.perf_counter() - begun
                begun = time.perf_counter()
                data = FrameData.open(folder, folder, ModelConfig())
                opened = time.perf_counter() - begun
                begun = time.perf_counter()
                for row in positions_of_steps(data, TrainConfig(), 0, 0, range(steps)):
                    data.batch(row)
                loaded = steps * TrainConfig().batch_size / (time.perf_counter() - begun)
            memory = peak.megabytes - idle.megabytes
            rows.append([hours, f"{table_opened:.2f}", f"{opened:.2f}", f"{loaded / 1000:.0f}k", f"{memory:.0f}"])
    head = [
        "hours",
        "seconds to open the frames",
        "and with their labels",
        "spliced frames a second, one thread",
        "MB of memory",
    ]
    return table(head, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(stages(Path(sys.argv[1])) if len(sys.argv) > 1 else loading())
