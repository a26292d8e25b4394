"""The loss at 14,000 outputs, forward and backward, against torch's own kl_div on dense targets.

    python -m benchmarks.loss

Peak memory is that of the process above what the inputs take, each way in a process of its own.
"""

import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkd import SoftTargets, soft_cross_entropy
from benchmarks.timing import seconds, table

FRAMES, NUM_PDFS, TOP_K, TEMPERATURE = 1024, 14_000, 20, 2.0
TAILS = ("even", "drop", "lump")


def ways() -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(FRAMES, NUM_PDFS, generator=generator)).requires_grad_()
    teacher = 3 * torch.randn(FRAMES, NUM_PDFS, generator=generator)
    probs = (teacher / TEMPERATURE).softmax(-1)
    kept, ids = probs.topk(TOP_K)
    top_k = SoftTargets(ids, kept, 1 - kept.sum(-1))

    def kl_div(targets: Tensor) -> Tensor:
        return TEMPERATURE**2 * F.kl_div((logits / TEMPERATURE).log_softmax(-1), targets, reduction="batchmean")

    def backward(loss: Tensor) -> None:
        logits.grad = None
        loss.backward()

    def ours(targets: Tensor | SoftTargets, tail: str = "even") -> Tensor:
        return TEMPERATURE**2 * soft_cross_entropy(logits, targets, TEMPERATURE, tail=tail).mean()

    def top_k_backward(tail: str) -> None:
        backward(ours(top_k, tail))

    return {
        "T² kl_div, softmax of the teacher's logits in it": lambda: backward(
            kl_div((teacher / TEMPERATURE).softmax(-1))
        ),
        "T² kl_div, probabilities given": lambda: backward(kl_div(probs)),
        "asrkd, dense, probabilities given": lambda: backward(ours(probs)),
        **{f"asrkd, top-{TOP_K}, {tail} tail": partial(top_k_backward, tail) for tail in TAILS},
    }


def peak_megabytes(name: str, threads: int, answer: "multiprocessing.Queue[float]") -> None:
    torch.set_num_threads(threads)
    way = ways()[name]
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = status_kilobytes("VmRSS")
    way()
    answer.put((status_kilobytes("VmHWM") - before) / 1024)


def status_kilobytes(key: str) -> int:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if key in line)


def measured(name: str) -> float:
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=peak_megabytes, args=(name, torch.get_num_threads(), answer))
    process.start()
    found = answer.get()
    process.join()
    return found


if __name__ == "__main__":
    times = seconds(ways())
    peer, dense = times["T² kl_div, probabilities given"], times["asrkd, dense, probabilities given"]
    print(f"{FRAMES:,} frames of {NUM_PDFS:,} pdfs, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        table(
            ["", "ms", "of kl_div's time", "of dense's", "peak memory, MB"],
            [
                [name, f"{1000 * t:.0f}", f"{t / peer:.2f}", f"{t / dense:.2f}", f"{measured(name):.0f}"]
                for name, t in times.items()
            ],
        )
    )
