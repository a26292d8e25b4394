"""The work of stage 9: a split decoded with a system, by way of the k2 interpreter."""

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from torch import Tensor

from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.decode.graph_arrays import open_graph
from asrkd.decode.interpreter import run_with
from asrkd.decode.lattice import read_lattices
from asrkd.decode.paths import best_paths
from asrkd.decode.words import spelling
from asrkd.errors import UserError
from asrkd.experiment import Step, read_json, write_json, write_jsonl
from asrkd.features.store import FrameStore
from asrkd.models.dnn import AcousticModel, load_model
from asrkd.systems import System
from asrkd.train.device import choose_device
from asrkd.train.forward import log_posteriors

HYPOTHESES, SCALES, REPORT = "hypotheses.jsonl", "scales.json", "report.json"
BLOCK_BYTES = 1 << 30  # of log-likelihoods that lie on disk at once; 4,000 pdfs on LibriSpeech's test-clean take 31 GB


@dataclass(frozen=True)
class Scales:
    """score = acoustic_scale * acoustic + lm_scale * graph - insertion_penalty * words"""

    acoustic_scale: float
    lm_scale: float
    insertion_penalty: float


def read_scales(folder: Path) -> Scales:
    """Of a decoded split: those that its hypotheses were made with."""
    found = read_json(folder / SCALES)
    return Scales(found["acoustic_scale"], found["lm_scale"], found["insertion_penalty"])


def decode_system(exp: Path, config: Config, system: System, step: Step) -> None:
    """Fill the folder of a step that has begun, and finish the step."""
    step.started = time.monotonic()  # the wait for a core is no decoding
    models = load_models(exp, system, config)
    dev, test = step.folder / "dev", step.folder / "test"
    if not (dev / SCALES).is_file():
        references = {cut.id: cut.supervisions[0].text for cut in read_cuts(exp / "data" / "dev.jsonl.gz")}
        decode_split(
            exp, config, models, exp / "features" / "dev", dev, references=references, what=f"{system.name} on dev"
        )
    scales = read_scales(dev)
    decode_split(exp, config, models, exp / "features" / "test", test, scales=scales, what=f"{system.name} on test")
    step.finish(f"{folder.name}/{name}" for folder in (dev, test) for name in (HYPOTHESES, SCALES))
    wer = read_json(dev / SCALES)["wer"]
    speed = [read_json(folder / REPORT)["search_real_time_factor"] for folder in (dev, test)]
    print(
        f"{system.label}: LM scale {scales.lm_scale:g}, insertion penalty {scales.insertion_penalty:g}, "
        f"dev WER {100 * wer:.1f} %; search at {max(speed):.3f} times real time",
        flush=True,
    )


def load_models(exp: Path, system: System, config: Config) -> list[AcousticModel]:
    device = choose_device(config.run.device)
    return [load_model(exp / "models" / name)[0].to(device) for name in system.models]


def decode_split(
    exp: Path,
    config: Config,
    models: Sequence[AcousticModel],
    features: Path,
    folder: Path,
    *,
    scales: Scales | None = None,
    references: Mapping[str, str] | None = None,
    what: str,
) -> None:
    """Decode a FrameStore with the models' mean posterior and the graph and prior of `exp`, into `folder`.

    Writes hypotheses.jsonl, report.json and scales.json. Without `scales`, the point of config.decode's grid with the
    lowest WER against `references` (utterance id -> text) is taken. The folder `work` inside is removed at the end; it
    never holds log-likelihoods of more than BLOCK_BYTES, unless a single utterance has more.
    """
    decode = config.decode
    if scales is not None:
        acoustic_scale, grid = scales.acoustic_scale, [(scales.lm_scale, scales.insertion_penalty)]
    else:
        acoustic_scale = decode.acoustic_scale
        grid = [(lm_scale, penalty) for lm_scale in decode.lm_scales for penalty in decode.insertion_penalties]
    work = folder / "work"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    store, log_prior = FrameStore.open(features), torch.from_numpy(np.log(prior(exp)).astype(np.float32))
    if len(log_prior) != models[0].num_pdfs:
        raise UserError(
            f"{features}: expected models of the alignment's {len(log_prior)} pdfs, found {models[0].num_pdfs}; "
            "train them again"
        )
    job = {
        "decoder": decode.decoder,
        "graph": str((exp / "graph").resolve()),
        "loglikes": str((work / "loglikes.npy").resolve()),
        "utterances": str((work / "utterances.jsonl").resolve()),
        "acoustic_scale": acoustic_scale,
        "beam": {
            "search": decode.search_beam,
            "lattice": decode.lattice_beam,
            "min_active": decode.min_active,
            "max_active": decode.max_active,
        },
        "lattices": str((work / "lattices").resolve()),
        "report": str((work / REPORT).resolve()),
    }
    stream = log_posteriors(models, store, precision=config.train.precision)
    loglikes = (log_p - log_prior for _, log_p in stream)
    texts, reports = [], []
    graph, text_of = open_graph(exp / "graph"), spelling(exp / "graph")
    for report in _search_in_blocks(job, store, loglikes, len(log_prior), work, what):
        reports.append(report)
        for lattice in read_lattices(work / "lattices"):
            texts.append([text_of(words) for _, words in best_paths(graph, lattice, grid)])  # a text a point
    report = _sum(reports)
    best, notes = 0, dict[str, Any]()
    if scales is None:
        best, notes = _choose(dict(zip(store.ids, texts, strict=True)), grid, references or {})
    rows = ({"id": name, "text": found[best]} for name, found in zip(store.ids, texts, strict=True))
    write_jsonl(folder / HYPOTHESES, rows)
    _report(folder, report, config.features.frame_shift, what)
    shutil.rmtree(work)
    # Last, since its presence says that the split is decoded.
    write_json(folder / SCALES, {**asdict(Scales(acoustic_scale, *grid[best])), **notes})


def prior(exp: Path) -> np.ndarray[Any, Any]:
    """(C,) of the training labels, from stage 3."""
    path = exp / "align" / "prior.npy"
    found = np.load(path, allow_pickle=False)
    if found.ndim != 1 or found.min() <= 0:
        raise UserError(f"{path}: expected a probability above 0 for each pdf, found {found.shape}; run stage 3 again")
    return found


def _search_in_blocks(
    job: Mapping[str, Any], store: FrameStore, loglikes: Iterator[Tensor], num_pdfs: int, work: Path, what: str
) -> Iterator[dict[str, Any]]:
    """The report of each block of utterances, whose lattices then lie in work/lattices.

    loglikes: log p(pdf | frame) - log prior(pdf) of each utterance, (T, C). They are one stream, so that where a block
    ends has no influence on which frames are computed together, and so on the results.
    """
    blocks = _blocks(store.counts.tolist(), 4 * num_pdfs)
    for number, block in enumerate(blocks, 1):
        began = time.monotonic()
        counts = store.counts[block]
        first = np.cumsum(counts) - counts
        write_loglikes(Path(job["loglikes"]), islice(loglikes, len(counts)), (int(counts.sum()), num_pdfs))
        seconds = time.monotonic() - began
        table = zip(store.ids[block], first.tolist(), counts.tolist(), strict=True)
        write_jsonl(Path(job["utterances"]), ({"id": u, "first": start, "frames": count} for u, start, count in table))
        part = f", part {number} of {len(blocks)}" if len(blocks) > 1 else ""
        write_json(work / "job.json", {**job, "what": what + part})
        run_with(job["decoder"], "search", work / "job.json")
        Path(job["loglikes"]).unlink()
        yield {**read_json(Path(job["report"])), "posteriors_seconds": round(seconds, 2)}


def write_loglikes(path: Path, loglikes: Iterable[Tensor], shape: tuple[int, int]) -> None:
    """Those of utterances, one after the other: (N, C) float32 on disk."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    first = 0
    for utterance in loglikes:
        out[first : first + len(utterance)] = utterance.numpy()
        first += len(utterance)
    out.flush()


def _blocks(frames: Sequence[int], frame_bytes: int) -> list[slice]:
    """Successive utterances, of so many frames each, that make at most BLOCK_BYTES, or a single one."""
    blocks, first, size = [], 0, 0
    for u, count in enumerate(frames):
        if u > first and size + count * frame_bytes > BLOCK_BYTES:
            blocks.append(slice(first, u))
            first, size = u, 0
        size += count * frame_bytes
    return [*blocks, slice(first, len(frames))]


def _sum(searches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The reports of several blocks as one."""
    frames = sum(search["frames"] for search in searches)
    arcs = sum(search["lattice_arcs_a_frame"] * search["frames"] for search in searches)
    return {
        "utterances": sum(search["utterances"] for search in searches),
        "frames": frames,
        "loading_seconds": round(sum(search["loading_seconds"] for search in searches), 2),
        "search_seconds": round(sum(search["search_seconds"] for search in searches), 2),
        "posteriors_seconds": round(sum(search["posteriors_seconds"] for search in searches), 2),
        "lattice_arcs_a_frame": round(arcs / max(frames, 1), 1),
        **{
            name: [utterance for search in searches for utterance in search[name]]
            for name in ("decoded_with_a_wider_beam", "without_path")
        },
    }


def _choose(
    texts: Mapping[str, Sequence[str]], grid: Sequence[tuple[float, float]], references: Mapping[str, str]
) -> tuple[int, dict[str, Any]]:
    """The grid's point of the lowest WER and the WER of all. Of equals, the one nearest to scale 1 and no penalty.

    texts: utterance id -> a text for each point of the grid.
    """
    said = [references[name].upper() for name in texts]
    if not any(text.split() for text in said):
        raise UserError(
            "dev: expected transcripts to choose the decoding scales by, found none with a word; see stage 0"
        )
    wers = [float(jiwer.wer(said, [found[point].upper() for found in texts.values()])) for point in range(len(grid))]
    best = min(range(len(grid)), key=lambda p: (wers[p], abs(grid[p][0] - 1) + abs(grid[p][1])))
    _say_edge(grid, best)
    table = [
        {"lm_scale": scale, "insertion_penalty": penalty, "wer": round(wer, 5)}
        for (scale, penalty), wer in zip(grid, wers, strict=True)
    ]
    return best, {"wer": round(wers[best], 5), "grid": table}


def _say_edge(grid: Sequence[tuple[float, float]], best: int) -> None:
    for axis, key in enumerate(("lm_scales", "insertion_penalties")):
        values = sorted({point[axis] for point in grid})
        if len(values) > 1 and grid[best][axis] in (values[0], values[-1]) and grid[best][axis] != 0:
            print(
                f"the best of decode.{key} on dev is {grid[best][axis]:g}, the last of those tried; try more",
                flush=True,
            )


def _report(folder: Path, search: dict[str, Any], frame_shift: float, what: str) -> None:
    seconds = max(search["frames"] * frame_shift / 1000, 1e-9)
    report = {
        **search,
        "audio_seconds": round(seconds, 2),
        "search_real_time_factor": round(search["search_seconds"] / seconds, 4),
    }
    write_json(folder / REPORT, report)
    if search["without_path"]:
        names = ", ".join(search["without_path"][:5])
        print(
            f"{what}: {len(search['without_path'])} utterances without a path through the graph, also at a wider beam, "
            f"count as empty: {names}",
            flush=True,
        )
