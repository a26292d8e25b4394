"""The work of stage 3: the aligner trained from a flat start, a split labelled with it, the prior."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from asrkd.align.gmm import Gmm
from asrkd.align.graphs import WORDS, delete_graphs, write_graphs
from asrkd.align.labels import LABELS, LEFT_OUT, NO_LABEL, load_labels
from asrkd.align.passes import Model, Source, Speech, open_speech, run_pass
from asrkd.align.topology import SIL, STATES, Graph, Pronunciations, equal_alignment, shortest, utterance_graph
from asrkd.align.train import train_aligner
from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.left_out import LeftOut, check_left_out, write_left_out
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json, write_npy
from asrkd.lang.lexicon import UNKNOWN, read_lexicon
from asrkd.progress import track
from asrkd.tensors import replacing_tensors


@dataclass(frozen=True)
class Words:
    """What a transcript is looked up in."""

    lexicon: Mapping[str, Pronunciations]  # as phone ids; the words of transcripts share them
    phones: list[str]

    def pronunciations(self, text: str) -> list[Pronunciations]:
        unknown = self.lexicon[UNKNOWN]
        return [self.lexicon.get(word, unknown) for word in text.split()]


def read_words(lang: Path) -> Words:
    phones = (lang / "phones.txt").read_text(encoding="utf-8").split()
    number = {phone: i for i, phone in enumerate(phones)}
    lexicon = {
        word: [[number[phone] for phone in variant] for variant in variants]
        for word, variants in read_lexicon(lang / "lexicon.txt").items()
    }
    return Words(lexicon, phones)


def load_model(folder: Path) -> Model:
    """The finished aligner. Raises UserError when a file is damaged."""
    try:
        gmm = Gmm.from_arrays(load_file(folder / "gmm.safetensors"))
        pdfs = np.load(folder / "pdfs.npy", allow_pickle=False)
        return Model(pdfs, gmm, np.load(folder / "self_loop.npy", allow_pickle=False).astype(np.float64))
    except (KeyError, ValueError, OSError, EOFError, SafetensorError) as error:
        raise UserError(f"{folder}: expected the aligner of stage 3, found {error}; run stage 3 with --force") from None


def train(exp: Path, folder: Path, words: Words, config: Config) -> dict[str, Any]:
    phones = words.phones
    if config.align.num_pdfs < STATES * len(phones):
        raise UserError(
            f"align.num_pdfs={config.align.num_pdfs}: expected at least {STATES * len(phones)}, three states for each "
            f"of the {len(phones)} phones in {exp / 'lang' / 'phones.txt'}; set align.num_pdfs higher"
        )
    began = time.monotonic()
    features, cuts = exp / "features" / "train", exp / "data" / "train.jsonl.gz"
    with open_speech_of(features, cuts, words, folder) as (speech, transcripts, left_out):
        _check(left_out, transcripts, config)
        usable = speech.graphs.usable
        equal = np.full(len(speech.frames), -1, dtype=np.int32)
        for u in usable:
            equal[speech.rows(u)] = equal_alignment(transcripts[u], int(speech.counts[u]), len(phones))
        prepared = time.monotonic() - began
        training = train_aligner(speech, usable, equal, phones, config.align, folder, config.run)

    model = training.model
    label_set = hashlib.sha256(model.pdfs.tobytes() + "\n".join(phones).encode()).hexdigest()
    with replacing_tensors(folder / "gmm.safetensors") as temporary:
        save_file(model.gmm.arrays(), temporary)
    shape = {"num_pdfs": model.gmm.num_pdfs, "gaussians": len(model.gmm.weights), "dimension": model.gmm.means.shape[1]}
    write_json(
        folder / "gmm.json", {**shape, "observations": "13 cepstra of the log-mel frames, differences of two orders"}
    )
    write_npy(folder / "pdfs.npy", model.pdfs)
    write_npy(folder / "self_loop.npy", model.stay.astype(np.float32))
    write_json(folder / "label_set.json", {"num_pdfs": model.gmm.num_pdfs, "phones": phones, "hash": label_set})
    return {
        **shape,
        "seconds": {
            "graphs": round(prepared, 1),
            "monophone": round(sum(p["seconds"] for p in training.passes if p["kind"] == "monophone"), 1),
            "tied": round(sum(p["seconds"] for p in training.passes if p["kind"] == "tied"), 1),
        },
        "passes": training.passes,
    }


def label(model: Model, features: Path, cuts: Path, folder: Path, words: Words, config: Config) -> dict[str, Any]:
    """Align a split with the finished aligner, write its labels and its left-out utterances; returns its report."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with open_speech_of(features, cuts, words, folder) as (speech, transcripts, left_out):
        units = np.full(len(speech.frames), -1, dtype=np.int32)
        log_likelihood = 0.0
        if len(speech.graphs.usable):
            totals = run_pass(
                speech, speech.graphs.usable, model, units, config.run, f"labels of {folder.name}", realign=True
            )
            log_likelihood = totals.statistics.log_likelihood
            ids = FrameStore.open(features).ids
            left_out += [LeftOut(ids[u], "no path is possible; is a frame not finite?") for u in totals.failed]
    write_left_out(folder / LEFT_OUT, left_out)
    _check(left_out, transcripts, config)
    aligned = units >= 0
    write_npy(folder / LABELS, np.where(aligned, model.pdfs.ravel()[units], NO_LABEL).astype(np.uint16))
    frames = int(aligned.sum())
    silence = np.isin(units // STATES % len(words.phones), [SIL]) & aligned
    result = {
        "utterances": len(transcripts) - len(left_out),
        "left_out": len(left_out),
        "frames": frames,
        "silence": round(float(silence.sum()) / max(frames, 1), 4),
        "log_likelihood": round(log_likelihood / max(frames, 1), 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(
        f"{folder}: {result['utterances']} utterances, {frames} frames, silence {100 * result['silence']:.1f} %",
        flush=True,
    )
    return result


@contextmanager
def open_speech_of(
    features: Path, cuts: Path, words: Words, folder: Path
) -> Iterator[tuple[Speech, list[list[Pronunciations]], list[LeftOut]]]:
    """The split with the graphs of its utterances, its transcripts, and what cannot be aligned.

    The graphs are kept in `folder` for as long.
    """
    store = FrameStore.open(features)
    texts = {cut.id: cut.supervisions[0].text for cut in read_cuts(cuts)}
    missing = next((name for name in store.ids if name not in texts), None)
    if missing is not None:
        raise UserError(
            f"{features}: utterance {missing} is not in {cuts}; run stages 0 and 1 again (run.sh --stage 0)"
        )
    transcripts = [words.pronunciations(texts[name]) for name in store.ids]
    left_out: list[LeftOut] = []

    def graphs() -> Iterator[Graph | None]:
        for name, count, transcript in zip(store.ids, store.counts, transcripts, strict=True):
            least = shortest(transcript)
            if count >= least:
                yield utterance_graph(transcript, len(words.phones))
                continue
            why = f"{count} frames, its {len(transcript)} words need {least} or more"
            left_out.append(LeftOut(name, why))
            print(f"alignment: left out {name}: {why}", flush=True)
            yield None

    try:
        write_graphs(track(graphs(), what="graphs", total=len(store), unit="utterances"), folder)
        version = (folder / WORDS).stat().st_mtime_ns
        yield open_speech(Source(features, folder, version)), transcripts, left_out
    finally:
        delete_graphs(folder)


def write_prior(folder: Path) -> None:
    """The pdfs' shares of the training frames; half a frame where there is none, so that the log is finite."""
    labels = load_labels(folder / "train")
    num_pdfs = read_json(folder / "label_set.json")["num_pdfs"]
    counts = np.maximum(np.bincount(labels[labels != NO_LABEL], minlength=num_pdfs), 0.5)
    write_npy(folder / "prior.npy", (counts / counts.sum()).astype(np.float32))


def _check(left_out: list[LeftOut], transcripts: list[list[Pronunciations]], config: Config) -> None:
    check_left_out(left_out, len(transcripts), config.data.max_left_out, what="alignment", option="data.max_left_out")
