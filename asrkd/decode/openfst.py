"""Transducers in OpenFst's binary form, for Kaldi's tools.

A ConstFst is one array of states and one of arcs, which numpy writes and reads as they are: an arc at a time through a
Python interface would take minutes.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asrkd.decode.arpa import FINAL
from asrkd.decode.topology import Transducer
from asrkd.errors import UserError

MAGIC, VERSION = 2125659606, 2
EXPANDED = 1  # the only property that is claimed
COUNTS = "<iiQqqq"  # version, flags, properties, start, states, arcs
STATE = np.dtype([("final", "<f4"), ("first", "<u4"), ("arcs", "<u4"), ("no_input", "<u4"), ("no_output", "<u4")])
ARC = np.dtype([("input", "<i4"), ("output", "<i4"), ("weight", "<f4"), ("next", "<i4")])


def write_const_fst(path: Path, fst: Transducer) -> None:
    """Weights are costs. The final state stays behind without arcs: OpenFst's states have a final weight instead."""
    ending = fst.label == FINAL
    order = np.flatnonzero(~ending)
    order = order[np.argsort(fst.src[order], kind="stable")]
    source = fst.src[order]
    states = np.zeros(int(max(fst.src.max(), fst.dst.max())) + 1, dtype=STATE)
    states["final"] = np.inf
    np.minimum.at(states["final"], fst.src[ending], -fst.score[ending])
    states["arcs"] = np.bincount(source, minlength=len(states))
    states["first"] = np.cumsum(states["arcs"]) - states["arcs"]
    states["no_input"] = np.bincount(source[fst.label[order] == 0], minlength=len(states))
    states["no_output"] = np.bincount(source[fst.output[order] == 0], minlength=len(states))
    arcs = np.empty(len(order), dtype=ARC)
    arcs["input"], arcs["output"], arcs["weight"], arcs["next"] = (
        fst.label[order],
        fst.output[order],
        -fst.score[order],
        fst.dst[order],
    )
    with open(path, "wb") as file:
        file.write(struct.pack("<i", MAGIC))
        for name in (b"const", b"standard"):
            file.write(struct.pack("<i", len(name)) + name)
        file.write(struct.pack(COUNTS, VERSION, 0, EXPANDED, 0, len(states), len(arcs)))
        states.tofile(file)
        arcs.tofile(file)


def read_const_fst(path: Path) -> Transducer:
    """Sorted by state. Raises UserError when the file is not what `StdConstFst.write` writes, without symbols."""
    with open(path, "rb") as file:
        names = [_word(file) for _ in range(2)] if _int(file) == MAGIC else []
        version, flags, _, start, num_states, num_arcs = struct.unpack(COUNTS, file.read(struct.calcsize(COUNTS)))
        if names != [b"const", b"standard"] or (version, flags) != (VERSION, 0) or start != 0:
            raise UserError(f"{path}: expected a ConstFst of standard arcs that begins in state 0, found another file")
        states = np.fromfile(file, dtype=STATE, count=num_states)
        arcs = np.fromfile(file, dtype=ARC, count=num_arcs)
    ending = np.flatnonzero(np.isfinite(states["final"]))
    source = np.concatenate([np.repeat(np.arange(num_states), states["arcs"]), ending])
    order = np.argsort(source, kind="stable")

    def column(of_arcs: np.ndarray, at_end: np.ndarray | int, dtype: type) -> np.ndarray:
        return np.concatenate([of_arcs, np.broadcast_to(at_end, len(ending))])[order].astype(dtype)

    return Transducer(
        source[order].astype(np.int32),
        column(arcs["next"], num_states, np.int32),
        column(arcs["input"], FINAL, np.int32),
        column(arcs["output"], FINAL, np.int32),
        column(-arcs["weight"], -states["final"][ending], np.float32),
    )


def _int(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "little", signed=True)


def _word(file: BinaryIO) -> bytes:
    return file.read(_int(file))
