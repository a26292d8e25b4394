"""What a system got wrong: words of its hypotheses, frames of its posteriors."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asrkd.align.labels import load_labels
from asrkd.align.phones import phone_of_pdfs
from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.subsets import stratified_subset
from asrkd.decode.split import load_models
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.store import FrameStore
from asrkd.files import read_jsonl, write_json, write_jsonl, write_npy
from asrkd.models.dnn import AcousticModel
from asrkd.progress import track
from asrkd.score.confusions import Confusion, confusions, speaker_errors
from asrkd.score.frames import FrameScores, frame_scores
from asrkd.score.phones import counting_phones
from asrkd.score.plausible import rates
from asrkd.score.prepare import SCORED, TOP, TRAIN_UTTERANCES
from asrkd.score.second_pass import second_pass
from asrkd.score.wer import WordErrors, score_texts, write_word_errors
from asrkd.systems import System, limited_name
from asrkd.train.forward import log_posteriors


def word_errors(cuts: Path, hypotheses: Path) -> WordErrors:
    """Of a cut set's transcripts and stage 9's hypotheses. Says which utterances have no hypothesis."""
    return _score_words(cuts, hypotheses)[0]


def _score_words(cuts: Path, hypotheses: Path) -> tuple[WordErrors, list[Confusion]]:
    said = {cut.id: cut.supervisions[0] for cut in read_cuts(cuts)}
    references = {name: segment.text for name, segment in said.items()}
    heard = {row["id"]: row["text"] for row in read_jsonl(hypotheses)}
    errors = score_texts(references, heard, {name: segment.speaker for name, segment in said.items()})
    if errors.missing:
        some = ", ".join(errors.missing[:5])
        print(f"{hypotheses}: {len(errors.missing)} utterances of {cuts} counted as deleted: {some}", flush=True)
    return errors, confusions(references, heard, errors, TOP)


def measure_frames(
    models: Sequence[AcousticModel],
    features: Path,
    labels: Path,
    ids: Sequence[str] | None = None,
    *,
    precision: str = "auto",
    what: str = "frames",
) -> FrameScores:
    """Of the models' mean posterior, on the utterances `ids` of a FrameStore (None: all) and the labels in a folder."""
    return frame_scores(_with_labels(models, features, labels, ids, precision, what))


def _with_labels(
    models: Sequence[AcousticModel],
    features: Path,
    labels: Path,
    ids: Sequence[str] | None,
    precision: str,
    what: str,
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Log posteriors (T, C) and labels (T,) of one utterance after the other."""
    store = FrameStore.open(features)
    pdfs = load_labels(labels)
    if len(pdfs) != len(store.frames):
        raise UserError(
            f"{labels}: expected labels of {len(store.frames)} frames, found {len(pdfs)}; run stage 3 again"
        )
    ids = store.ids if ids is None else ids
    posteriors = log_posteriors(models, store, ids, precision=precision)
    for name, log_p in track(posteriors, what=what, total=len(ids), unit="utterances"):
        u = store.index[name]
        yield log_p, pdfs[store.first[u] : store.first[u] + store.counts[u]]


def words_name(split: str) -> str:
    return f"words-{split}.jsonl"


def hypotheses_path(exp: Path, system: System, split: str) -> Path:
    return exp / "decode" / system.name / split / "hypotheses.jsonl"


def count_system(exp: Path, config: Config, system: System, step: Step) -> None:
    """Fill the folder of a step that has begun, and finish the step."""
    step.started = time.monotonic()  # the wait for a core is no work
    words, passes = {}, {}
    for split in SCORED:
        cuts, hypotheses = exp / "data" / f"{split}.jsonl.gz", hypotheses_path(exp, system, split)
        words[split], confused = _score_words(cuts, hypotheses)
        references = {cut.id: cut.supervisions[0].text for cut in read_cuts(cuts)}
        both = second_pass(references, hypotheses.parent, words[split].wer)
        passes[split] = None if both is None else asdict(both)
        write_word_errors(step.folder / words_name(split), words[split])
        write_jsonl(step.folder / f"speakers-{split}.jsonl", map(asdict, speaker_errors(words[split])))
        write_jsonl(step.folder / f"confusions-{split}.jsonl", map(asdict, confused))
    models = load_models(exp, system, config)
    frames: dict[str, Any] = {"parameters": sum(p.numel() for model in models for p in model.parameters())}
    phone_of = phone_of_pdfs(exp / "align" / "pdfs.npy")
    rates_of = {}
    for split in ("train", *SCORED):
        features, labels = exp / "features" / split, exp / "align" / split
        store = FrameStore.open(features)
        ids = _train_utterances(store, system, config) if split == "train" else None
        stream = _with_labels(models, features, labels, ids, config.train.precision, f"{system.name} on {split}")
        phones = np.zeros((phone_of.max() + 1, phone_of.max() + 1), dtype=np.int64)
        frames[split] = asdict(frame_scores(counting_phones(stream, phone_of, phones)))
        if split in SCORED:
            write_npy(step.folder / f"phones-{split}.npy", phones)
            seconds = len(store.frames) * config.features.frame_shift / 1000
            rates_of[split] = asdict(rates(phones, words[split], seconds))
    write_json(step.folder / "frames.json", frames)
    write_json(step.folder / "rates.json", rates_of)
    write_json(step.folder / "passes.json", passes)
    kinds = ("words-{}.jsonl", "speakers-{}.jsonl", "confusions-{}.jsonl", "phones-{}.npy")
    by_split = [kind.format(split) for split in SCORED for kind in kinds]
    step.finish(["frames.json", "rates.json", "passes.json", *by_split])


def _train_utterances(store: FrameStore, system: System, config: Config) -> list[str]:
    for share in config.limited.shares:
        if system.name in (limited_name("hard", share), limited_name("soft", share)):
            return [store.ids[u] for u in stratified_subset(store.speakers, share, config.limited.seed)]
    spread = np.linspace(0, len(store) - 1, min(len(store), TRAIN_UTTERANCES)).round().astype(int)
    return [store.ids[u] for u in spread]
