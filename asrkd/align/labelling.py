"""The work of stage 3: the aligner trained from a flat start, a split labelled with it, the prior."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from asrkd.align.gmm import Gmm
from asrkd.align.labels import LABELS, LEFT_OUT, NO_LABEL, load_labels
from asrkd.align.passes import Model, Speech, run_pass
from asrkd.align.topology import SIL, STATES, Pronunciations, equal_alignment, shortest, utterance_graph
from asrkd.align.train import train_aligner
from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.left_out import LeftOut, check_left_out, write_left_out
from asrkd.errors import UserError
from asrkd.experiment import read_json, replacing, write_json, write_npy
from asrkd.features.store import FrameStore
from asrkd.lang.lexicon import UNKNOWN, Lexicon, read_lexicon
from asrkd.parallel import num_jobs


@dataclass(frozen=True)
class Words:
    """What a transcript is looked up in: pronunciations as phone ids."""

    lexicon: Lexicon
    phones: list[str]

    def pronunciations(self, text: str) -> list[Pronunciations]:
        number = {phone: i for i, phone in enumerate(self.phones)}
        unknown = self.lexicon[UNKNOWN]
        return [
            [[number[phone] for phone in variant] for variant in self.lexicon.get(word, unknown)]
            for word in text.split()
        ]


def read_words(lang: Path) -> Words:
    phones = (lang / "phones.txt").read_text(encoding="utf-8").split()
    return Words(read_lexicon(lang / "lexicon.txt"), phones)


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
    speech, transcripts, left_out = _load_speech(exp / "features" / "train", exp / "data" / "train.jsonl.gz", words)
    _check(left_out, transcripts, config)
    usable = _usable(speech)
    equal = np.full(len(speech.frames), -1, dtype=np.int32)
    for u in usable:
        equal[speech.rows(u)] = equal_alignment(transcripts[u], int(speech.counts[u]), len(phones))
    prepared = time.monotonic() - began
    training = train_aligner(speech, usable, equal, phones, config.align, folder, num_jobs(config.run))

    model = training.model
    label_set = hashlib.sha256(model.pdfs.tobytes() + "\n".join(phones).encode()).hexdigest()
    with replacing(folder / "gmm.safetensors") as temporary:
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
    speech, transcripts, left_out = _load_speech(features, cuts, words)
    usable = _usable(speech)
    ids = FrameStore.open(features).ids
    units = np.full(len(speech.frames), -1, dtype=np.int32)
    log_likelihood = 0.0
    if len(usable):
        totals = run_pass(speech, usable, model, units, num_jobs(config.run), realign=True)
        log_likelihood = totals.statistics.log_likelihood
        left_out += [LeftOut(ids[u], "no path is possible; is a frame not finite?") for u in totals.failed]
    folder.mkdir(parents=True, exist_ok=True)
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


def _load_speech(features: Path, cuts: Path, words: Words) -> tuple[Speech, list[list[Pronunciations]], list[LeftOut]]:
    """The split with the graphs of its utterances, its transcripts, and what cannot be aligned."""
    store = FrameStore.open(features)
    texts = {cut.id: cut.supervisions[0].text for cut in read_cuts(cuts)}
    transcripts: list[list[Pronunciations]] = []
    graphs = []
    left_out = []
    for name, count in zip(store.ids, store.counts, strict=True):
        if name not in texts:
            raise UserError(
                f"{features}: utterance {name} is not in {cuts}; run stages 0 and 1 again (run.sh --stage 0)"
            )
        transcript = words.pronunciations(texts[name])
        transcripts.append(transcript)
        least = shortest(transcript)
        if count < least:
            why = f"{count} frames, its {len(transcript)} words need {least} or more"
            left_out.append(LeftOut(name, why))
            print(f"alignment: left out {name}: {why}", flush=True)
        graphs.append(utterance_graph(transcript, len(words.phones)) if count >= least else None)
    return Speech(store.frames, store.first, store.counts, graphs), transcripts, left_out


def _usable(speech: Speech) -> np.ndarray:
    return np.array([u for u, graph in enumerate(speech.graphs) if graph is not None], dtype=np.int64)


def write_prior(folder: Path) -> None:
    """The pdfs' shares of the training frames; half a frame where there is none, so that the log is finite."""
    labels = load_labels(folder / "train")
    num_pdfs = read_json(folder / "label_set.json")["num_pdfs"]
    counts = np.maximum(np.bincount(labels[labels != NO_LABEL], minlength=num_pdfs), 0.5)
    write_npy(folder / "prior.npy", (counts / counts.sum()).astype(np.float32))


def _check(left_out: list[LeftOut], transcripts: list[list[Pronunciations]], config: Config) -> None:
    check_left_out(left_out, len(transcripts), config.data.max_left_out, what="alignment", option="data.max_left_out")
