"""A FrameStore through the search, in blocks that bound what lies on disk."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asrkd.config import RunConfig
from asrkd.decode.interpreter import run_with
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json, write_jsonl
from asrkd.parallel import num_jobs, parallel

BLOCK_BYTES = 1 << 30  # of log-likelihoods that lie on disk at once; 4,000 pdfs on LibriSpeech's test-clean take 31 GB


def search_in_blocks(
    decoder: str,
    settings: Mapping[str, Any],
    store: FrameStore,
    loglikes: Iterator[Tensor],
    num_pdfs: int,
    work: Path,
    what: str,
    run: RunConfig | None = None,
) -> tuple[list[Path], dict[str, Any]]:
    """The folders of lattices of all of the store, in its order, and the report of the search.

    settings: graph, acoustic_scale and beam, as asrkd.decode.search_job wants them. loglikes: log p(pdf | frame) -
    log prior(pdf) of each utterance, (T, C). They are one stream, so that where a block ends has no influence on which
    frames are computed together, and so on the results. `work` never holds log-likelihoods of more than BLOCK_BYTES,
    unless a single utterance has more. run: among how many searches the utterances of a block are shared, and where
    they run; None is one.
    """
    run = run or RunConfig(jobs=1)
    folders, reports, posteriors = [], [], 0.0
    blocks = _blocks(store.counts.tolist(), 4 * num_pdfs)
    scratch = work / "loglikes.npy"
    for number, block in enumerate(blocks, 1):
        began = time.monotonic()
        counts = store.counts[block]
        named = zip(store.ids[block], islice(loglikes, len(counts)), strict=True)
        write_loglikes(scratch, named, (int(counts.sum()), num_pdfs))
        posteriors += time.monotonic() - began
        told = what + (f", part {number} of {len(blocks)}" if len(blocks) > 1 else "")
        shares = _shares(store.ids[block], counts, num_jobs(run))
        own = [work / f"lattices-{number}-{share}" for share in range(1, len(shares) + 1)]
        for folder, rows in zip(own, shares, strict=True):
            folder.mkdir()
            write_jsonl(folder / "utterances.jsonl", rows)
            paths = {"loglikes": scratch, "utterances": folder / "utterances.jsonl", "lattices": folder}
            paths["report"] = folder / "report.json"
            named_paths = {name: str(path.resolve()) for name, path in paths.items()}
            write_json(folder / "job.json", {**settings, "what": told, **named_paths})
        jobs = [(decoder, "search", folder / "job.json") for folder in own]
        parallel(run_with, jobs, run, what=f"search, {told}", unit="parts")
        scratch.unlink()
        folders += own
        reports += [read_json(folder / "report.json") for folder in own]
    return folders, {**_sum(reports), "posteriors_seconds": round(posteriors, 2)}


def _shares(ids: Sequence[str], counts: np.ndarray, shares: int) -> list[list[dict[str, Any]]]:
    """The rows of a block's utterances, in order, cut into at most so many runs of about as many frames."""
    first = np.cumsum(counts) - counts
    share_of = first * shares // max(int(counts.sum()), 1)
    rows = [
        {"id": name, "first": start, "frames": count}
        for name, start, count in zip(ids, first.tolist(), counts.tolist(), strict=True)
    ]
    begins = np.unique(share_of, return_index=True)[1].tolist()
    return [rows[begin:end] for begin, end in pairwise([*begins, len(rows)])]


def write_loglikes(path: Path, loglikes: Iterable[tuple[str, Tensor]], shape: tuple[int, int]) -> None:
    """Those of utterances, by id, one after the other: (N, C) float32 on disk.

    Raises UserError when one is not finite: k2 would decode it as if nothing had been said.
    """
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    first = 0
    for name, utterance in loglikes:
        if not utterance.isfinite().all():
            raise UserError(
                f"{name}: expected finite log-likelihoods, found nan or inf; the model's weights or the utterance's "
                "features are damaged (make them again with --force: stage 1, or the stage that trained the model)"
            )
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
    """The reports of several searches as one."""
    frames = sum(search["frames"] for search in searches)
    arcs = sum(search["lattice_arcs_a_frame"] * search["frames"] for search in searches)
    seconds = ("loading_seconds", "search_seconds")
    return {
        "utterances": sum(search["utterances"] for search in searches),
        "frames": frames,
        **{name: round(sum(search[name] for search in searches), 2) for name in seconds},
        "lattice_arcs_a_frame": round(arcs / max(frames, 1), 1),
        **{
            name: [utterance for search in searches for utterance in search[name]]
            for name in ("decoded_with_a_wider_beam", "without_path")
        },
    }
