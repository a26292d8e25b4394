"""HLG by OpenFst's operations, in kaldifst: for machines without k2.

The order of the operations is Kaldi's (mkgraph.sh): determinisation in the log semiring spreads the LM's scores over a
word's phones, and disambiguation symbols become epsilons, which Kaldi's decoders take.
"""

import tempfile
from pathlib import Path

import kaldifst
import numpy as np

from asrkd.decode.arpa import Arcs
from asrkd.decode.graph_arrays import GraphArrays
from asrkd.decode.hlg_job import Clock, run_job, sizes
from asrkd.decode.lexicon import Lexicon
from asrkd.decode.openfst import read_const_fst, write_const_fst
from asrkd.decode.topology import Transducer
from asrkd.errors import UserError


def compose(h: Transducer, lexicon: Lexicon, grammar: Arcs, clock: Clock) -> GraphArrays:
    """H o det(L o G), with epsilons; sorted by state."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "fst"
        l_fst = _vector_fst(lexicon.transducer, scratch)
        kaldifst.arcsort(l_fst, "olabel")
        g_fst = _vector_fst(Transducer(grammar.src, grammar.dst, grammar.label, grammar.label, grammar.score), scratch)
        kaldifst.arcsort(g_fst, "ilabel")
        graph = kaldifst.StdVectorFst(kaldifst.compose(l_fst, g_fst))
        kaldifst.connect(graph)
        clock.note("L o G", _sizes(graph))
        if kaldifst.determinize_star(graph, use_log=True):
            raise UserError("HLG: the determinisation of L o G stopped early; is the lexicon's list of words too long?")
        clock.note("determinise", _sizes(graph))
        flat = _transducer(graph, scratch)
        flat.label[flat.label >= lexicon.first_disambiguation] = 0
        flat.output[flat.output >= lexicon.backoff] = 0
        graph = _vector_fst(flat, scratch)
        kaldifst.minimize_encoded(graph)
        clock.note("minimise", _sizes(graph))
        kaldifst.arcsort(graph, "ilabel")
        h_fst = _vector_fst(h, scratch)
        kaldifst.arcsort(h_fst, "olabel")
        graph = kaldifst.StdVectorFst(kaldifst.compose(h_fst, graph))
        kaldifst.connect(graph)
        clock.note("H o LG", _sizes(graph))
        flat = _transducer(graph, scratch)
    spoken = flat.output > 0
    arcs = np.column_stack([flat.src, flat.dst, flat.label, flat.score.view(np.int32)])
    return GraphArrays(arcs, flat.output[spoken], np.append(0, np.cumsum(spoken)))


def _vector_fst(arcs: Transducer, scratch: Path) -> kaldifst.StdVectorFst:
    write_const_fst(scratch, arcs)
    return kaldifst.StdVectorFst(kaldifst.StdConstFst.read(str(scratch)))


def _transducer(fst: kaldifst.StdVectorFst, scratch: Path) -> Transducer:
    if fst.num_states == 0:
        nothing = np.zeros(0, dtype=np.int32)
        return Transducer(nothing, nothing, nothing, nothing, nothing.astype(np.float32))
    kaldifst.StdConstFst(fst).write(str(scratch))
    return read_const_fst(scratch)


def _sizes(fst: kaldifst.StdVectorFst) -> str:
    return sizes(fst.num_states, sum(fst.num_arcs(state) for state in range(fst.num_states)))


def main(arguments: list[str]) -> None:
    run_job(Path(arguments[0]), "kaldifst", compose)
