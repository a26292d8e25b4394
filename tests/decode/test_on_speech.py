"""k2 and Kaldi's decoder on real speech, and forced alignments against both. Needs ../shared, which users lack."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kenlm
import numpy as np
import pytest
import torch

from asrkd.align.topology import STATES
from asrkd.corpus.cuts import read_cuts
from asrkd.decode import kaldi_hlg, kaldi_search
from asrkd.decode.arpa import FINAL, Arcs
from asrkd.decode.blocks import search_in_blocks
from asrkd.decode.graph_arrays import open_graph, save_graph
from asrkd.decode.hlg_job import Clock
from asrkd.decode.lattice import Beam, read_lattices
from asrkd.decode.lexicon import lexicon_transducer, word_ids
from asrkd.decode.paths import best_paths
from asrkd.decode.split import prior
from asrkd.decode.topology import left_biphone_topology
from asrkd.features.store import FrameStore, write_store
from asrkd.lang.lexicon import read_lexicon
from asrkd.models.dnn import load_model
from asrkd.settings import load_config
from asrkd.train.forward import log_posteriors

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
UTTERANCES, SCALE = 30, 0.12  # the shortest of dev
WIDE = Beam(13.0, 8.0, 30, 1_000_000)
FIRST = [(1.0, 0.0)]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (SHARED / "LibriSpeech").is_dir(), reason="needs the LibriSpeech of ../shared"),
]


@dataclass(frozen=True)
class Decoded:
    exp: Path
    loglikes: dict[str, np.ndarray]  # scaled, of the shortest utterances of dev
    k2: dict[str, tuple[float, list[int]]]
    kaldi: dict[str, tuple[float, list[int]]]


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory, k2_found: None) -> Decoded:
    exp = tmp_path_factory.mktemp("decoders") / "exp"
    corpus = ["--corpus-dir", str(SHARED / "LibriSpeech"), "--train", "train-tiny", "--dev", "dev-tiny"]
    small = ["ensemble.members=1", "train.epochs=2"]
    run = [str(ROOT / "recipes/librispeech/run.sh"), "--exp", str(exp), *corpus, "--test", "test-tiny"]
    run += ["--lm-text", str(SHARED / "lm" / "books.txt.gz"), *small]
    for stages in (["--stop-stage", "4"], ["--stage", "8", "--stop-stage", "8"]):
        subprocess.run([*run, *stages], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    store = FrameStore.open(exp / "features" / "dev")
    longest = sorted(store.counts)[UTTERANCES]
    ids = [name for name, count in zip(store.ids, store.counts, strict=True) if count < longest]
    model, _ = load_model(exp / "models" / "member-01")
    log_prior = torch.from_numpy(np.log(prior(exp)).astype(np.float32))
    stream = log_posteriors([model], store, ids, precision="float32")
    tensors = {name: (log_p - log_prior) for name, log_p in stream}
    loglikes = {name: own.numpy() * np.float32(SCALE) for name, own in tensors.items()}

    part = exp / "part"
    write_store(part, ((name, "speaker", store.utterance(name)) for name in ids), num_mel=40, dtype="float16")
    settings = {"graph": str(exp / "graph"), "acoustic_scale": SCALE, "beam": WIDE._asdict()}
    own_store = FrameStore.open(part)
    work = exp / "work"
    work.mkdir()
    folders, _ = search_in_blocks("k2", settings, own_store, iter(tensors.values()), len(log_prior), work, "k2")
    lattices = (lattice for folder in folders for lattice in read_lattices(folder))
    graph = open_graph(exp / "graph")
    k2 = {name: best_paths(graph, lattice, FIRST)[0] for name, lattice in zip(ids, lattices, strict=True)}
    loaded = kaldi_search.load_graph(exp / "graph")
    kaldi = {
        name: best_paths(graph, kaldi_search.search(loaded, own, WIDE), FIRST)[0] for name, own in loglikes.items()
    }
    return Decoded(exp, loglikes, k2, kaldi)


def test_the_same_words_and_never_a_better_path(decoded: Decoded) -> None:
    same = [decoded.k2[name][1] == words for name, (_, words) in decoded.kaldi.items()]
    assert np.mean(same) >= 0.99
    for name, (score, _) in decoded.kaldi.items():
        assert score <= decoded.k2[name][0] + 1e-2


def test_no_reference_scores_above_the_decoded_path(decoded: Decoded) -> None:
    config = load_config(decoded.exp / "config.yaml")
    assert config.decode.decoder == "k2"
    compared = 0
    for name, forced in references(decoded):
        assert forced <= decoded.k2[name][0] + 1e-2, name
        compared += 1
    assert compared > UTTERANCES / 2


def references(decoded: Decoded) -> Iterator[tuple[str, float]]:
    """The score of the best path of each transcript that the vocabulary covers, in a graph of that sentence alone.

    Its arcs have KenLM's scores: the whole graph may back off where it likes, so that its own are never lower.
    """
    exp = decoded.exp
    lang, scratch = exp / "lang", exp / "one"
    vocabulary = set((lang / "vocabulary.txt").read_text().split())
    phones = (lang / "phones.txt").read_text().split()
    lexicon = read_lexicon(lang / "lexicon.txt")
    model = kenlm.Model(str(lang / "lm.arpa"))
    pdfs = np.load(exp / "align" / "pdfs.npy")
    assert pdfs.shape[2] == STATES
    for cut in read_cuts(exp / "data" / "dev.jsonl.gz"):
        words = cut.supervisions[0].text.upper().split()
        if cut.id not in decoded.loglikes or not words or not set(words) <= vocabulary:
            continue
        ids = word_ids(sorted(set(words)))
        entries = [(word, spoken) for word in ids for spoken in lexicon[word]]
        scores = [score * np.log(10) for score, _, _ in model.full_scores(" ".join(words))]
        states = np.arange(len(words) + 1, dtype=np.int32)
        labels = np.array([*(ids[word] for word in words), FINAL], dtype=np.int32)
        grammar = Arcs(states, states + 1, labels, np.array(scores, dtype=np.float32))
        scratch.mkdir(exist_ok=True)
        topology = left_biphone_topology(pdfs)
        save_graph(scratch, kaldi_hlg.compose(topology, lexicon_transducer(entries, ids, phones), grammar, Clock()))
        graph = kaldi_search.load_graph(scratch)
        lattice = kaldi_search.search(graph, decoded.loglikes[cut.id], Beam(100.0, 1.0, 1, 1_000_000))
        yield cut.id, best_paths(graph.arcs, lattice, FIRST)[0][0]
