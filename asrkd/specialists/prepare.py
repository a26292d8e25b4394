"""Stage 11: specialists beside a generalist, and a student of them all (Hinton, Vinyals and Dean 2015, section 5).

    specialists/clusters/        clusters.json: the pdfs of each specialist, which the generalist confuses
    specialists/generalist-T1/   soft targets of the generalist on train
    models/specialist-hard-01    ... trained on hard targets alone; models/specialist-soft-01 ... on soft ones beside
    specialists/hard/, soft/     measured.json: the generalist with each set of specialists, on dev and test
    specialists/combined-T2/     soft targets on train of the generalist with the set that is better on dev
    models/student-combined      a student of them; models/student-generalist one of the generalist alone, beside it
    specialists/results/         tables.json: all of it for the report

The generalist is the first member. The student of the generalist alone tells what of the other's gain is the
specialists': a student may be better than its only teacher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, section
from asrkd.experiment import Step, identity
from asrkd.files import read_json, write_json
from asrkd.parallel import parallel
from asrkd.systems import member_names
from asrkd.train.folds import Group
from asrkd.train.jobs import train_models
from asrkd.train.soft_targets import expect_room, write_targets
from asrkd.train.students import expect_soft_targets, student_config
from asrkd.train.training import TargetKind, Training

STAGE = "stage 11"
KINDS = ("hard", "soft")  # targets that a set of specialists is trained on
STUDENTS = {"student-combined": "combined", "student-generalist": "generalist"}  # model: its teacher
TABLES = "tables.json"


def train_specialists(exp: Path, config: Config, force: bool = False) -> None:
    """All of the stage; each part that is finished is skipped.

    Raises UserError when an input is missing, there are too few pdfs for the specialists asked for, students would
    have labels alone, or a loss is no longer finite.
    """
    expect_soft_targets(config, STAGE)
    config = stage_config(config)
    find(exp, config, force)
    teach(exp, config, force)
    train(exp, config, force)
    measured = measure(exp, config, force)
    best = max(KINDS, key=lambda kind: measured[kind]["dev"]["combined"]["accuracy"])
    store_combined(exp, config, best, force)
    train_models(exp, student_config(config), students(config), STAGE, force)
    conclude(exp, config, best, measured, force)


def stage_config(config: Config) -> Config:
    """The targets of this stage are of the frames as they were said."""
    return replace(config, distill=replace(config.distill, speeds=[1.0]))


def specialists_config(config: Config) -> Config:
    """The config whose train is the specialists'."""
    own = config.specialists
    return replace(config, train=replace(config.train, epochs=own.epochs, learning_rate=own.learning_rate))


def generalist_name(config: Config) -> str:
    return member_names(config)[0]


def specialist_names(config: Config, kind: str) -> list[str]:
    return [f"specialist-{kind}-{number:02d}" for number in range(1, config.specialists.count + 1)]


def targets_folder(teacher: str, temperature: float) -> str:
    """In the experiment; the teacher is the generalist or combined."""
    return f"specialists/{teacher}-T{temperature:g}"


def find(exp: Path, config: Config, force: bool) -> None:
    """The clusters."""
    step = Step(
        exp / "specialists" / "clusters",
        made_by=STAGE,
        config=section(config, "specialists.count", "specialists.pdfs", "specialists.seed", "train.precision"),
        inputs=_inputs(exp, ["features/train", "align", _model(generalist_name(config))]),
        force=force,
    )
    if step.begin():
        # Only now, here and below: it imports torch, which takes seconds and is not wanted where nothing is to be done.
        from asrkd.specialists.grouping import find_clusters

        # On one thread: several would decide the last bits of the covariance, and these a cluster.
        parallel(find_clusters, [(exp, config, generalist_name(config), step)], config.run, what="clusters", lone=False)


def teach(exp: Path, config: Config, force: bool) -> None:
    """The generalist's soft targets: at one temperature for specialists, at another for its student."""
    from asrkd.features.store import FrameStore

    store = FrameStore.open(exp / "features" / "train")
    everything = [Group([generalist_name(config)], store.ids, "stage 4")]
    temperatures = {config.specialists.temperature, config.distill.temperatures[0]}
    kinds = [TargetKind(targets_folder("generalist", t), t, config.distill.top_k) for t in sorted(temperatures)]
    write_targets(exp, config, kinds, everything, STAGE, force=force)


def train(exp: Path, config: Config, force: bool) -> None:
    """Both sets of specialists. Those of one cluster have one seed and one start, and differ in their targets alone."""
    own, trained = config.specialists, specialists_config(config)
    soft = targets_folder("generalist", own.temperature)
    common = ["features/train", "features/dev", "align", "specialists/clusters", _model(generalist_name(config))]
    work = []
    for kind in KINDS:
        inputs = _inputs(exp, [*common, soft] if kind == "soft" else common)
        chosen = section(trained, "train")
        if kind == "soft":
            chosen |= section(config, "specialists.hard_weight", "specialists.temperature")
        for number, name in enumerate(specialist_names(config, kind)):
            seed = own.seed + number
            about = {**chosen, "cluster": number, "seed": seed}
            step = Step(exp / _model(name), made_by=STAGE, config=about, inputs=inputs, force=force)
            targets = exp / soft if kind == "soft" else None
            work.append((exp, trained, generalist_name(config), number, seed, targets, step))
    jobs = [job for job in work if job[-1].begin()]
    if jobs:
        from asrkd.specialists.job import train_specialist
        from asrkd.train.device import one_net_at_a_time
        from asrkd.train.job import open_targets

        if any(targets for *_, targets, _ in jobs):  # once for all, before they learn from it
            label_set = read_json(exp / "align" / "label_set.json")["hash"]
            open_targets(exp / soft, label_set, identity(exp / "features" / "train", "stage 1"), frames={})
        parallel(train_specialist, jobs, one_net_at_a_time(config.run), what=STAGE, unit="models", lone=False)


def measure(exp: Path, config: Config, force: bool) -> dict[str, dict[str, Any]]:
    """What the generalist and each set of specialists are on dev and test, as `measure.compare` gives it."""
    frames = [f"features/{split}" for split in ("dev", "test")]
    work = []
    for kind in KINDS:
        models = _models(config, kind)
        inputs = _inputs(exp, [*frames, "align", *models])
        chosen = section(config, "train.precision")
        step = Step(exp / "specialists" / kind, made_by=STAGE, config=chosen, inputs=inputs, force=force)
        work.append((exp, config, models, step))
    jobs = [job for job in work if job[-1].begin()]
    if jobs:
        from asrkd.specialists.measure import measure_combination
        from asrkd.train.device import one_net_at_a_time

        parallel(measure_combination, jobs, one_net_at_a_time(config.run), what="combination", unit="sets", lone=False)
    return {kind: read_json(exp / "specialists" / kind / "measured.json") for kind in KINDS}


def store_combined(exp: Path, config: Config, kind: str, force: bool) -> None:
    """Soft targets of the generalist with the specialists of a kind."""
    temperature = config.distill.temperatures[0]
    models = _inputs(exp, _models(config, kind))
    features = identity(exp / "features" / "train", "stage 1")
    wanted = TargetKind(targets_folder("combined", temperature), temperature, config.distill.top_k)
    step = Step(
        exp / wanted.folder,
        made_by=STAGE,
        config={**section(config, "distill.top_k", "train.precision"), "temperature": temperature},
        inputs={**models, "features/train": features},
        force=force,
    )
    if not step.begin():
        return
    from asrkd.distill.store import CARD, SoftTargetStore
    from asrkd.features.store import FrameStore
    from asrkd.specialists.store import combined_targets
    from asrkd.train.device import one_net_at_a_time
    from asrkd.train.target_shards import make_shards, write_shard

    expect_room(exp, [wanted])
    frames = exp / "features" / "train"
    teachers = [generalist_name(config), *specialist_names(config, kind)]
    shards = make_shards(frames, [Group(teachers, FrameStore.open(frames).ids, STAGE)])
    kinds = [(wanted, list(models.values()))]
    jobs = [(exp, config, shard, kinds, features, combined_targets) for shard in shards]
    parallel(write_shard, jobs, one_net_at_a_time(config.run), what="combination on train", unit="shards")
    written = SoftTargetStore.open(step.folder).shards
    step.finish([CARD, *(shard.path.name for shard in written)])


def students(config: Config) -> list[Training]:
    """That of the combination and that of the generalist alone, with the same seed and settings."""
    temperature = config.distill.temperatures[0]
    return [
        Training(
            name,
            config.distill.seed,
            config.distill.hard_weight,
            temperature,
            targets=targets_folder(teacher, temperature),
            about={"teacher": teacher},
        )
        for name, teacher in STUDENTS.items()
    ]


def conclude(exp: Path, config: Config, kind: str, measured: Mapping[str, Any], force: bool) -> None:
    """What the report shows, in one file; kind: of the specialists that the student learnt from."""
    own = ["specialists/clusters", *(f"specialists/{kind}" for kind in KINDS), *map(_model, STUDENTS)]
    frames = [f"features/{split}" for split in ("dev", "test")]
    inputs = _inputs(exp, [*own, *frames, "align"])
    step = Step(exp / "specialists" / "results", made_by=STAGE, config={"kind": kind}, inputs=inputs, force=force)
    if step.begin():
        from asrkd.specialists.measure import measure_model

        found = {
            "generalist": generalist_name(config),
            "distilled": kind,
            "clusters": read_json(exp / "specialists" / "clusters" / "clusters.json")["specialists"],
            "combinations": measured,
            "students": {name: measure_model(exp, config, name) for name in STUDENTS},
        }
        write_json(step.folder / TABLES, found)
        step.finish([TABLES])
    _show(read_json(step.folder / TABLES))


def _show(found: Mapping[str, Any]) -> None:
    test = {f"with {kind} specialists": found["combinations"][kind]["test"]["combined"] for kind in KINDS}
    test = {"generalist": found["combinations"]["hard"]["test"]["generalist"], **test}
    test |= {name: student["test"] for name, student in found["students"].items()}
    for name, measured in test.items():
        accuracy, loss = 100 * measured["accuracy"], measured["cross_entropy"]
        print(f"{name}: frame accuracy {accuracy:.2f} % on test, cross-entropy {loss:.3f}", flush=True)


def _model(name: str) -> str:
    return f"models/{name}"


def _models(config: Config, kind: str) -> list[str]:
    """The folders of the generalist and the specialists."""
    return [_model(generalist_name(config)), *map(_model, specialist_names(config, kind))]


def _inputs(exp: Path, folders: Sequence[str]) -> dict[str, str]:
    """folder -> its identity."""
    return {folder: identity(exp / folder, _made_by(folder)) for folder in folders}


def _made_by(folder: str) -> str:
    if folder.startswith("features/"):
        return "stage 1"
    if folder == "align":
        return "stage 3"
    return "stage 4" if folder.startswith("models/member-") else STAGE
