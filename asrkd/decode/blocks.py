"""A FrameStore through the search, in blocks that bound what lies on disk."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asrkd.decode.interpreter import run_with
from asrkd.errors import UserError
from asrkd.experiment import read_json, write_json, write_jsonl
from asrkd.features.store import FrameStore

BLOCK_BYTES = 1 << 30  # of log-likelihoods that lie on disk at once; 4,000 pdfs on LibriSpeech's test-clean take 31 GB


def search_in_blocks(
    decoder: str,
    settings: Mapping[str, Any],
    store: FrameStore,
    loglikes: Iterator[Tensor],
    num_pdfs: int,
    work: Path,
    what: str,
) -> tuple[list[Path], dict[str, Any]]:
    """The folders of lattices of all of the store, in its order, and the report of the search.

    settings: graph, acoustic_scale and beam, as asrkd.decode.search_job wants them. loglikes: log p(pdf | frame) -
    log prior(pdf) of each utterance, (T, C). They are one stream, so that where a block ends has no influence on which
    frames are computed together, and so on the results. `work` never holds log-likelihoods of more than BLOCK_BYTES,
    unless a single utterance has more.
    """
    folders, reports = [], []
    blocks = _blocks(store.counts.tolist(), 4 * num_pdfs)
    scratch = {name: work / name for name in ("loglikes.npy", "utterances.jsonl", "report.json", "job.json")}
    for number, block in enumerate(blocks, 1):
        began = time.monotonic()
        counts = store.counts[block]
        first = np.cumsum(counts) - counts
        named = zip(store.ids[block], islice(loglikes, len(counts)), strict=True)
        write_loglikes(scratch["loglikes.npy"], named, (int(counts.sum()), num_pdfs))
        seconds = time.monotonic() - began
        table = zip(store.ids[block], first.tolist(), counts.tolist(), strict=True)
        rows = ({"id": name, "first": start, "frames": count} for name, start, count in table)
        write_jsonl(scratch["utterances.jsonl"], rows)
        folders.append(work / f"lattices-{number}")
        job = {
            **settings,
            "what": what + (f", part {number} of {len(blocks)}" if len(blocks) > 1 else ""),
            "loglikes": str(scratch["loglikes.npy"].resolve()),
            "utterances": str(scratch["utterances.jsonl"].resolve()),
            "lattices": str(folders[-1].resolve()),
            "report": str(scratch["report.json"].resolve()),
        }
        write_json(scratch["job.json"], job)
        run_with(decoder, "search", scratch["job.json"])
        scratch["loglikes.npy"].unlink()
        reports.append({**read_json(scratch["report.json"]), "posteriors_seconds": round(seconds, 2)})
    return folders, _sum(reports)


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
    """The reports of several blocks as one."""
    frames = sum(search["frames"] for search in searches)
    arcs = sum(search["lattice_arcs_a_frame"] * search["frames"] for search in searches)
    seconds = ("loading_seconds", "search_seconds", "posteriors_seconds")
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
