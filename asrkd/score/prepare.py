"""Stage 10, first half: EXP/counts with every system's errors, EXP/scores with what follows from them.

    counts/<system>/   of dev and test each: words-*.jsonl, word errors and alignment an utterance; speakers-*.jsonl,
                       word errors a speaker; confusions-*.jsonl, the most frequent errors; phones-*.npy, (P, P) frames
                       by the labels' phone and the model's. frames.json: frame scores a split; rates.json: silence
                       and words a minute
    scores/            <system>.json: rates and their intervals; comparisons.json: pairs of systems on test

The first takes a pass of the models over the frames, so that each system has a step of its own; the second is quick.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from asrkd.config import Config, section
from asrkd.experiment import Step, identity
from asrkd.files import read_json, write_json
from asrkd.parallel import parallel
from asrkd.score.bootstrap import DRAWS
from asrkd.systems import TRAINED_BY, System, systems

SCORED = ("dev", "test")
TRAIN_UTTERANCES = 200  # that stand for the training data, where a system was trained on all of it
TOP = 20  # confusions of each kind that are kept


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
    from asrkd.progress import track
    from asrkd.score.counts import words_name
    from asrkd.score.plausible import Rates, implausible
    from asrkd.score.summary import compare, split_scores
    from asrkd.score.wer import read_word_errors

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
    for system in found:
        for split, measured in read_json(exp / "counts" / system.name / "rates.json").items():
            for what in implausible(Rates(**measured)):
                print(
                    f"warning: {system.label} on {split} {what}: are priors and labels those of its data?", flush=True
                )


def _count(exp: Path, config: Config, found: Sequence[System], force: bool) -> None:
    """Bring EXP/counts up to date: a job a system, the ensemble first, since it takes the longest."""
    common = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in ("train", *SCORED)}
    common |= {"data": identity(exp / "data", "stage 0"), "align": identity(exp / "align", "stage 3")}
    work = []
    for system in sorted(found, key=lambda system: -len(system.models)):
        inputs = {**common, **_models_and_hypotheses(exp, system)}
        chosen = {**section(config, "train.precision"), "train_utterances": TRAIN_UTTERANCES, "confusions": TOP}
        step = Step(exp / "counts" / system.name, made_by="stage 10", config=chosen, inputs=inputs, force=force)
        work.append((exp, config, system, step))
    jobs = [job for job in work if job[-1].begin()]
    if jobs:
        # Only now: they import torch, which takes seconds, and where nothing is to be done none are wanted.
        from asrkd.score.counts import count_system
        from asrkd.train.device import one_net_at_a_time

        parallel(count_system, jobs, one_net_at_a_time(config.run), what="scoring", unit="systems")


def _models_and_hypotheses(exp: Path, system: System) -> dict[str, str]:
    inputs = {f"models/{name}": identity(exp / "models" / name, TRAINED_BY[system.kind]) for name in system.models}
    return {**inputs, f"decode/{system.name}": identity(exp / "decode" / system.name, "stage 9")}
