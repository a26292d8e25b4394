"""What a system got wrong: words of its hypotheses, frames of its posteriors."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.align.labels import load_labels
from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.subsets import stratified_subset
from asrkd.decode.split import load_models
from asrkd.errors import UserError
from asrkd.experiment import Step, read_jsonl, write_json
from asrkd.features.store import FrameStore
from asrkd.models.dnn import AcousticModel
from asrkd.progress import track
from asrkd.score.frames import FrameScores, frame_scores
from asrkd.score.prepare import SCORED, TRAIN_UTTERANCES
from asrkd.score.wer import WordErrors, score_texts, write_word_errors
from asrkd.systems import System, limited_name
from asrkd.train.forward import log_posteriors


def word_errors(cuts: Path, hypotheses: Path) -> WordErrors:
    """Of a cut set's transcripts and stage 9's hypotheses. Says which utterances have no hypothesis."""
    references = {cut.id: cut.supervisions[0].text for cut in read_cuts(cuts)}
    errors = score_texts(references, {row["id"]: row["text"] for row in read_jsonl(hypotheses)})
    if errors.missing:
        some = ", ".join(errors.missing[:5])
        print(f"{hypotheses}: {len(errors.missing)} utterances of {cuts} counted as deleted: {some}", flush=True)
    return errors


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
    store = FrameStore.open(features)
    pdfs = load_labels(labels)
    if len(pdfs) != len(store.frames):
        raise UserError(
            f"{labels}: expected labels of {len(store.frames)} frames, found {len(pdfs)}; run stage 3 again"
        )
    ids = store.ids if ids is None else ids
    posteriors = track(
        log_posteriors(models, store, ids, precision=precision), what=what, total=len(ids), unit="utterances"
    )

    def labels_of(name: str) -> np.ndarray:
        u = store.index[name]
        return pdfs[store.first[u] : store.first[u] + store.counts[u]]

    return frame_scores((log_p, labels_of(name)) for name, log_p in posteriors)


def words_name(split: str) -> str:
    return f"words-{split}.jsonl"


def hypotheses_path(exp: Path, system: System, split: str) -> Path:
    return exp / "decode" / system.name / split / "hypotheses.jsonl"


def count_system(exp: Path, config: Config, system: System, step: Step) -> None:
    """Fill the folder of a step that has begun, and finish the step."""
    step.started = time.monotonic()  # the wait for a core is no work
    for split in SCORED:
        errors = word_errors(exp / "data" / f"{split}.jsonl.gz", hypotheses_path(exp, system, split))
        write_word_errors(step.folder / words_name(split), errors)
    models = load_models(exp, system, config)
    frames: dict[str, Any] = {"parameters": sum(p.numel() for model in models for p in model.parameters())}
    for split in ("train", *SCORED):
        features, labels = exp / "features" / split, exp / "align" / split
        ids = _train_utterances(FrameStore.open(features), system, config) if split == "train" else None
        what = f"{system.name} on {split}"
        scores = measure_frames(models, features, labels, ids, precision=config.train.precision, what=what)
        frames[split] = asdict(scores)
    write_json(step.folder / "frames.json", frames)
    step.finish(["frames.json", *map(words_name, SCORED)])


def _train_utterances(store: FrameStore, system: System, config: Config) -> list[str]:
    for share in config.limited.shares:
        if system.name in (limited_name("hard", share), limited_name("soft", share)):
            return [store.ids[u] for u in stratified_subset(store.speakers, share, config.limited.seed)]
    spread = np.linspace(0, len(store) - 1, min(len(store), TRAIN_UTTERANCES)).round().astype(int)
    return [store.ids[u] for u in spread]
