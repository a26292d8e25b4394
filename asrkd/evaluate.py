"""Another test set through a finished experiment: features, labels, words and scores of every system.

Everything lands in EXP/evaluate/<name>; the experiment itself is only read. The scales are those that dev chose.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lhotse import CutSet

from asrkd.align.prepare import align_split
from asrkd.config import Config, RunConfig, section
from asrkd.corpus.cuts import read_cuts, write_cuts
from asrkd.corpus.left_out import LeftOut, check_left_out
from asrkd.corpus.librispeech import read_librispeech
from asrkd.corpus.prepare import validate
from asrkd.decode.prepare import run_systems
from asrkd.decode.scales import SCALES, read_scales
from asrkd.decode.split import HYPOTHESES, decode_split, load_models
from asrkd.errors import UserError
from asrkd.experiment import Step, expect_settings, identity
from asrkd.features.extract import extract_split
from asrkd.files import hash_file, read_json, write_json
from asrkd.score.counts import measure_frames, word_errors
from asrkd.score.summary import compare, split_scores
from asrkd.score.wer import read_word_errors, write_word_errors
from asrkd.systems import TRAINED_BY, System, system_named, systems

WORDS, FRAMES = "words.jsonl", "frames.json"


def evaluate_experiment(
    exp: Path,
    config: Config,
    *,
    name: str,
    corpus_dir: Path | None = None,
    cuts: Path | None = None,
    chosen: Sequence[str] = (),
    force: bool = False,
) -> None:
    """Decode and score a subset of a tree in LibriSpeech's layout, or a Lhotse cut set, with the systems of `exp`.

    `name` names the folder of the results too; of a tree it may be several subsets with commas between, as in the
    recipes. chosen: names of systems; none is all. Raises UserError when neither or both sources are given, when `name`
    is no plain name, when a system is unknown, when `exp` is not finished or the config has other features, or when the
    set cannot be read.
    """
    if (corpus_dir is None) == (cuts is None):
        raise UserError("evaluate: expected --corpus-dir DIR or --cuts FILE, and not both")
    for part in name.split(","):
        # Path("..").name is ".." itself.
        if part != Path(part).name or part in ("", ".."):
            raise UserError(
                f"--test {name}: expected a plain name, for the results go to {exp / 'evaluate'}/NAME, found '{part}'; "
                "--corpus-dir names the folder that a subset is in, --cuts the file of a cut set"
            )
    found = [system_named(config, other) for other in dict.fromkeys(chosen)] or systems(config)
    expect_settings(exp / "features" / "train", "stage 1", config)
    folder = exp / "evaluate" / name
    cut_set = _write_cut_set(folder, name, corpus_dir, cuts, config)

    extract_split(
        cut_set,
        folder / "features",
        config.features,
        config.run,
        config.data.max_left_out,
        {"cuts": hash_file(cut_set)},
        force,
    )
    align_split(exp, folder / "features", cut_set, folder / "align", config, force)
    steps = [_step(exp, folder, system, config, force) for system in found]
    jobs = [(exp, folder, system, config, step) for system, step in zip(found, steps, strict=True) if step.begin()]
    if jobs:
        run_systems(_evaluate_system, jobs, config.run, what=f"decoding {name}")
    _summarise(folder, name, found, whole=not chosen)


def _write_cut_set(folder: Path, name: str, corpus_dir: Path | None, cuts: Path | None, config: Config) -> Path:
    left_out: list[LeftOut] = []
    if cuts is not None:
        found = read_cuts(cuts)
    elif corpus_dir is not None:
        cuts_of_all = []
        for subset in name.split(","):
            own, bad = read_librispeech(corpus_dir, subset)
            cuts_of_all += list(own)
            left_out += bad
        found = CutSet.from_cuts(cuts_of_all)
    good, bad = validate(found, config.features.sample_rate)
    left_out += bad
    check_left_out(left_out, len(good) + len(left_out), config.data.max_left_out, what=name, option="data.max_left_out")
    for item in left_out:
        print(f"left out: {item.id}: {item.why}", flush=True)
    path = folder / "cuts.jsonl.gz"
    new = folder / "new.jsonl.gz"
    write_cuts(new, good)
    if not path.is_file() or hash_file(path) != hash_file(new):
        for scores in folder.glob("scores*.json"):  # of the cut set that had this name
            scores.unlink()
    new.replace(path)
    return path


def _step(exp: Path, folder: Path, system: System, config: Config, force: bool) -> Step:
    inputs = {f"models/{name}": identity(exp / "models" / name, TRAINED_BY[system.kind]) for name in system.models}
    inputs |= {
        "graph": identity(exp / "graph", "stage 8"),
        f"decode/{system.name}": identity(exp / "decode" / system.name, "stage 9"),
        "features": identity(folder / "features", "stage 1"),
        "align": identity(folder / "align", "stage 3"),
    }
    chosen = section(config, "decode", "train.precision")
    return Step(folder / "systems" / system.name, made_by="evaluate", config=chosen, inputs=inputs, force=force)


def _evaluate_system(exp: Path, folder: Path, system: System, config: Config, step: Step, run: RunConfig) -> None:
    step.started = time.monotonic()  # the wait for a core is no work
    models = load_models(exp, system, config)
    scales = read_scales(exp / "decode" / system.name / "dev")
    what = f"{system.name} on {folder.name}"
    decode_split(exp, config, models, folder / "features", step.folder, scales=scales, what=what, run=run)
    write_word_errors(step.folder / WORDS, word_errors(folder / "cuts.jsonl.gz", step.folder / HYPOTHESES))
    frames = measure_frames(models, folder / "features", folder / "align", precision=config.train.precision, what=what)
    write_json(step.folder / FRAMES, asdict(frames))
    step.finish([HYPOTHESES, SCALES, WORDS, FRAMES])


def _summarise(folder: Path, name: str, found: list[System], *, whole: bool) -> None:
    words = {system.name: read_word_errors(folder / "systems" / system.name / WORDS) for system in found}
    scores = {
        system.name: split_scores(read_json(folder / "systems" / system.name / FRAMES), words[system.name])
        for system in found
    }
    # Each is with the members, which a call for some systems alone may lack.
    comparisons = [asdict(pair) for pair in compare(words, found)] if whole else []
    file = folder / ("scores.json" if whole else f"scores-{'+'.join(system.name for system in found)}.json")
    write_json(file, {"test": name, "systems": scores, "comparisons": comparisons})
    for system in found:
        score = scores[system.name]
        within = "no interval: one utterance"
        if score["interval"]:
            low, high = score["interval"]
            within = f"95 %: {100 * low:.1f} to {100 * high:.1f}"
        print(
            f"{system.label}: frame accuracy {100 * score['frame_accuracy']:.1f} %, "
            f"WER {100 * score['wer']:.1f} % ({within})"
        )
    print(f"all of it: {file}")
