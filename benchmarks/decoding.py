"""The search against other decoders: seconds a second of speech on one core, and WER, all in one run.

    python -m benchmarks.decoding EXP [SYSTEM] [--audio] [section.key=value...]     a finished experiment

SYSTEM is member-01 unless given. --audio leaves out the first table.

k2's search, Kaldi's lattice decoder and Kaldi's best-path decoder (both of kaldi-decoder) go through EXP's own graph
with the same scaled log-likelihoods, beam and limits; words are those of the scales that dev chose, or, of best paths,
of an LM scale of 1. Then from audio to words: PocketSphinx with its own US-English model, where it is there
(pip install pocketsphinx), and the same by ours. Loading a graph or a model is not counted.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import kaldi_decoder
import kaldifst
import numpy as np
import torch

from asrkd.corpus.cuts import read_cuts
from asrkd.decode import kaldi_search
from asrkd.decode.blocks import search_in_blocks
from asrkd.decode.graph_arrays import GraphArrays, open_graph
from asrkd.decode.lattice import Beam, Lattice, read_lattices
from asrkd.decode.paths import best_paths
from asrkd.decode.scales import Scales, read_scales
from asrkd.decode.split import load_models, prior
from asrkd.decode.words import spelling
from asrkd.features.fbank import fbank
from asrkd.features.shards import Segment, read_samples
from asrkd.features.split import segments_of
from asrkd.features.store import FrameStore
from asrkd.score.wer import score_texts
from asrkd.settings import load_config
from asrkd.systems import systems
from asrkd.train.forward import log_posteriors
from benchmarks.timing import table

Found = tuple[float, list[list[int]]]  # seconds, and the words of each utterance


def by_k2(graph: Path, store: FrameStore, loglikes: Sequence[torch.Tensor], beam: Beam, scales: Scales) -> Found:
    settings = {"graph": str(graph.resolve()), "acoustic_scale": scales.acoustic_scale, "beam": beam._asdict()}
    with tempfile.TemporaryDirectory() as work:
        pdfs = loglikes[0].shape[1]
        folders, report = search_in_blocks("k2", settings, store, iter(loglikes), pdfs, Path(work), "k2")
        lattices = [lattice for folder in folders for lattice in read_lattices(folder)]
    seconds, words = choose(open_graph(graph), lattices, scales)
    return report["search_seconds"] + seconds, words


def by_kaldi(graph: Path, loglikes: Sequence[torch.Tensor], beam: Beam, scales: Scales) -> Found:
    loaded = kaldi_search.load_graph(graph)
    begun = time.perf_counter()
    lattices = [kaldi_search.search(loaded, own.numpy() * np.float32(scales.acoustic_scale), beam) for own in loglikes]
    searched = time.perf_counter() - begun
    seconds, words = choose(loaded.arcs, lattices, scales)
    return searched + seconds, words


def by_kaldis_best_path(graph: Path, loglikes: Sequence[torch.Tensor], beam: Beam, scales: Scales) -> Found:
    loaded = kaldi_search.load_graph(graph)
    options = kaldi_decoder.FasterDecoderOptions()
    options.beam, options.min_active, options.max_active = beam.search, beam.min_active, beam.max_active
    decoder = kaldi_decoder.FasterDecoder(loaded.fst, options)
    words = []
    begun = time.perf_counter()
    for own in loglikes:
        decoder.decode(kaldi_decoder.DecodableCtc(own.numpy() * np.float32(scales.acoustic_scale)))
        _, path = decoder.get_best_path()
        passed = kaldifst.get_linear_symbol_sequence(path)[2]
        words.append([w for a in passed for w in loaded.arcs.words[loaded.arcs.first[a - 1] : loaded.arcs.first[a]]])
    return time.perf_counter() - begun, words


def choose(graph: GraphArrays, lattices: Sequence[Lattice], scales: Scales) -> Found:
    point = [(scales.first.lm_scale, scales.first.insertion_penalty)]
    best_paths(graph, lattices[0], point)  # compiles
    begun = time.perf_counter()
    words = [best_paths(graph, lattice, point)[0][1] for lattice in lattices]
    return time.perf_counter() - begun, words


def by_pocketsphinx(segments: Sequence[Segment], rate: int) -> tuple[float, list[str]] | None:
    try:
        import pocketsphinx
    except ImportError:
        return None
    decoder = pocketsphinx.Decoder(samprate=float(rate), loglevel="FATAL")
    texts = []
    begun = time.perf_counter()
    for segment in segments:
        samples = read_samples(segment, rate)
        decoder.start_utt()
        if isinstance(samples, np.ndarray):
            decoder.process_raw((samples * 32768).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        texts.append(decoder.hyp().hypstr if decoder.hyp() else "")
    return time.perf_counter() - begun, texts


def main(exp: Path, name: str, audio_only: bool, overrides: list[str]) -> None:
    torch.set_num_threads(1)
    config = load_config(exp / "config.yaml", overrides=overrides)
    store, graph = FrameStore.open(exp / "features" / "test"), exp / "graph"
    cuts = read_cuts(exp / "data" / "test.jsonl.gz")
    references = {cut.id: cut.supervisions[0].text for cut in cuts}
    by_id = {segment.id: segment for segment in segments_of(cuts)}
    segments = [by_id[own] for own in store.ids]
    audio = sum(segment.num_samples for segment in segments) / config.features.sample_rate
    scales = read_scales(exp / "decode" / name / "dev")
    beam = Beam(*(getattr(config.decode, key) for key in ("search_beam", "lattice_beam", "min_active", "max_active")))
    text_of = spelling(graph)

    def row(what: str, seconds: float, texts: Sequence[str]) -> list[str]:
        found = score_texts(references, dict(zip(store.ids, texts, strict=True)), dict.fromkeys(references, ""))
        return [what, f"{seconds / audio:.4f}", f"{100 * found.wer:.1f}"]

    models = load_models(exp, next(system for system in systems(config) if system.name == name), config)
    log_prior = torch.from_numpy(np.log(prior(exp)).astype(np.float32))
    begun = time.perf_counter()
    loglikes = [log_p - log_prior for _, log_p in log_posteriors(models, store, precision=config.train.precision)]
    posteriors = time.perf_counter() - begun
    begun = time.perf_counter()
    for segment in segments:
        samples = read_samples(segment, config.features.sample_rate)
        if isinstance(samples, np.ndarray):
            fbank(torch.from_numpy(samples), config.features)
    features = time.perf_counter() - begun

    searched, words = by_k2(graph, store, loglikes, beam, scales)
    texts = [text_of(own) for own in words]
    if not audio_only:
        lattices = by_kaldi(graph, loglikes, beam, scales)
        best = by_kaldis_best_path(graph, loglikes, beam, scales)
        theirs = [text_of(own) for own in lattices[1]]
        rows = [
            row("k2", searched, texts),
            row("kaldi-decoder, lattices", lattices[0], theirs),
            row("kaldi-decoder, best path", best[0], [text_of(own) for own in best[1]]),
        ]
        print(table([f"search, beam {beam.search:g}", "× real time, one core", "WER test"], rows))
        same = np.mean([one == other for one, other in zip(texts, theirs, strict=True)])
        print(
            f"\nk2 and kaldi-decoder's lattices give the same words in {100 * same:.1f} % of {len(store)} utterances\n"
        )
    whole = features + posteriors + searched
    rows = [row("asrkd: audio, filterbanks, posteriors, k2", whole, texts)]
    sphinx = by_pocketsphinx(segments, config.features.sample_rate)
    rows += [row("PocketSphinx", *sphinx)] if sphinx is not None else []
    print(table(["from audio to words", "× real time, one core", "WER test"], rows))
    print(f"\nfilterbanks {features / audio:.4f}, posteriors {posteriors / audio:.4f} times real time")


if __name__ == "__main__":
    exp, *rest = sys.argv[1:]
    names = [word for word in rest if "=" not in word and not word.startswith("--")]
    main(Path(exp), names[0] if names else "member-01", "--audio" in rest, [word for word in rest if "=" in word])
