"""What the targets of a student are worth on the frames that it learns from, against frames that nobody has heard.

A member has learnt its training frames by heart: there its posteriors are surer and more often right than on dev, and
the student is told little more than the labels. Out-of-fold targets (distill.folds) are of training frames and yet as
of new ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from asrkd.config import Config
from asrkd.corpus.subsets import stratified_subset
from asrkd.experiments.frames import mean_sums
from asrkd.experiments.measures import Measures, measures
from asrkd.experiments.result import Options, Result, run_experiment
from asrkd.features.store import FrameStore
from asrkd.parallel import parallel
from asrkd.report.table import Table
from asrkd.train.device import one_net_at_a_time
from asrkd.train.folds import Group, target_groups, teacher_identities

SAMPLE = 200_000  # training frames, about, that are looked at
QUICK_SAMPLE = 5_000
SPLITS = ("train", "dev")


def compare_targets(exp: Path, config: Config, options: Options) -> None:
    """Entropy, accuracy and cross-entropy at T = 1 of the ensemble's own targets and, with distill.folds, of
    out-of-fold ones."""
    kinds = {"the ensemble's own": target_groups(exp, replace(config, distill=replace(config.distill, folds=0)))}
    if config.distill.folds:
        kinds["out of fold"] = target_groups(exp, config)
    inputs = teacher_identities(exp, [group for groups in kinds.values() for group in groups])

    def work() -> Result:
        rows = []
        for kind, groups in kinds.items():
            found = _measure(exp, config, groups, QUICK_SAMPLE if options.quick else SAMPLE)
            rows += [{"targets": kind, "split": split, **asdict(own)} for split, own in found.items()]
        return Result(rows, [_table({(row["targets"], row["split"]): row for row in rows}, list(kinds), config)])

    run_experiment(exp, config, "targets", options, work, inputs=inputs)


def _measure(exp: Path, config: Config, groups: Sequence[Group], frames: int) -> dict[str, Measures]:
    """On train each group's teachers on its own utterances; on dev all of them on all, and the mean over groups."""
    store = FrameStore.open(exp / "features" / "train")
    share = min(1.0, frames / len(store.frames))
    sampled = {store.ids[u] for u in stratified_subset(store.speakers, share, config.ensemble.seed)}
    jobs = []
    for group in groups:
        chosen = [name for name in group.utterances if name in sampled]
        jobs += [(exp, config, group.teachers, "train", chosen), (exp, config, group.teachers, "dev", None)]
    sums = parallel(mean_sums, jobs, one_net_at_a_time(config.run), what="targets", unit="passes")
    return {split: measures(sum(sums[place + 2 :: 2], sums[place])) for place, split in enumerate(SPLITS)}


def _table(rows: dict[tuple[str, str], dict[str, float]], kinds: Sequence[str], config: Config) -> Table:
    columns = ["Targets", "Entropy train", "Entropy dev", "Accuracy train", "Accuracy dev"]
    columns += ["Cross-entropy train", "Cross-entropy dev"]
    cells = [
        [kind]
        + [
            f"{rows[kind, split][measure]:.{digits}f}"
            for measure, digits in (("entropy", 2), ("accuracy", 1), ("cross_entropy", 2))
            for split in SPLITS
        ]
        for kind in kinds
    ]
    notes = [
        "At T = 1: entropy and cross-entropy in nats a frame, accuracy in percent. On a sample of the training frames, "
        "the same share of each speaker, and on all of dev."
    ]
    if config.distill.folds:
        notes.append(
            f"Out of fold: {config.distill.folds} folds of the speakers, {config.distill.fold_members} teachers each, "
            "which were trained on the other folds; on dev the mean over the folds."
        )
    return Table("targets", "Soft targets on training frames and on new ones", columns, cells, notes)
