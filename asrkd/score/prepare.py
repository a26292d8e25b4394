"""Stage 10, first half: EXP/counts with every system's errors, EXP/scores with what follows from them.

    counts/<system>/   words-dev.jsonl, words-test.jsonl: word errors an utterance; frames.json: frame scores a split
    scores/            <system>.json: rates and their intervals; comparisons.json: pairs of systems on test

The first takes a pass of the models over the frames, so that each system has a step of its own; the second is quick.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.align.prepare import load_labels
from asrkd.config import Config, section
from asrkd.corpus.cuts import read_cuts
from asrkd.corpus.subsets import stratified_subset
from asrkd.decode.prepare import TRAINED_BY, load_models
from asrkd.errors import UserError
from asrkd.experiment import Step, identity, read_json, read_jsonl, write_json
from asrkd.features.store import FrameStore
from asrkd.models.dnn import AcousticModel
from asrkd.parallel import parallel
from asrkd.progress import track
from asrkd.score.bootstrap import DRAWS
from asrkd.score.frames import FrameScores, frame_scores
from asrkd.score.summary import compare, split_scores
from asrkd.score.wer import WordErrors, read_word_errors, score_texts, write_word_errors
from asrkd.systems import System, limited_name, systems
from asrkd.train.device import one_net_at_a_time
from asrkd.train.forward import log_posteriors

SCORED = ("dev", "test")
TRAIN_UTTERANCES = 200  # that stand for the training data, where a system was trained on all of it


def score_systems(exp: Path, config: Config, force: bool = False) -> None:
    """Count the errors of every system that is not counted yet, then compute rates, intervals and comparisons.

    Train frame scores are of the frames that a system was trained on: all of them for the limited-data pairs, those of
    TRAIN_UTTERANCES utterances, evenly spread, for the others. Raises UserError when a model, a label or a hypothesis
    is missing or does not fit.
    """
    found = systems(config)
    _count(exp, config, found, force)
    counted = {f"counts/{system.name}": identity(exp / "counts" / system.name, "stage 10") for system in found}
    step = Step(exp / "scores", made_by="stage 10", config={"draws": DRAWS}, inputs=counted, force=force)
    if not step.begin():
        return
    test = {}
    for system in track(found, what="intervals", unit="systems"):
        folder = exp / "counts" / system.name
        frames = read_json(folder / "frames.json")
        words = {split: read_word_errors(folder / words_name(split)) for split in SCORED}
        scores = {split: split_scores(frames[split], words.get(split)) for split in ("train", *SCORED)}
        about = {"label": system.label, "kind": system.kind, "parameters": frames["parameters"]}
        write_json(step.folder / f"{system.name}.json", {**about, **scores})
        test[system.name] = words["test"]
    write_json(step.folder / "comparisons.json", [asdict(row) for row in compare(test, found)])
    step.finish([*(f"{system.name}.json" for system in found), "comparisons.json"])
    for system in found:
        print(f"{system.label}: WER {100 * test[system.name].wer:.1f} % on test", flush=True)


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


def _count(exp: Path, config: Config, found: Sequence[System], force: bool) -> None:
    """Bring EXP/counts up to date: a job a system, the ensemble first, since it takes the longest."""
    common = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", *SCORED)}
    common |= {"data": identity(exp / "data", "stage 0"), "align": identity(exp / "align", "stage 3")}
    work = []
    for system in sorted(found, key=lambda system: -len(system.models)):
        inputs = {**common, **_models_and_hypotheses(exp, system)}
        chosen = {**section(config, "train.precision"), "train_utterances": TRAIN_UTTERANCES}
        step = Step(exp / "counts" / system.name, made_by="stage 10", config=chosen, inputs=inputs, force=force)
        work.append((exp, config, system, step))
    jobs = [job for job in work if job[-1].begin()]
    if jobs:
        parallel(_count_system, jobs, one_net_at_a_time(config.run), what="scoring", unit="systems")


def _models_and_hypotheses(exp: Path, system: System) -> dict[str, str]:
    inputs = {f"models/{name}": identity(exp / "models" / name, TRAINED_BY[system.kind]) for name in system.models}
    return {**inputs, f"decode/{system.name}": identity(exp / "decode" / system.name, "stage 9")}


def words_name(split: str) -> str:
    return f"words-{split}.jsonl"


def hypotheses_path(exp: Path, system: System, split: str) -> Path:
    return exp / "decode" / system.name / split / "hypotheses.jsonl"


def _count_system(exp: Path, config: Config, system: System, step: Step) -> None:
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
