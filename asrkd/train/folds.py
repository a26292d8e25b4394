"""Stage 5, first half: teachers that never heard the speakers whose frames they give targets for.

A teacher has learnt its own training frames by heart, and is surer of them than of any others: targets for these frames
tell a student less than what it would say of new ones. So the speakers are split into folds, each fold's teachers are
trained on the others, and between them they cover the training set as they would cover new speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkd.config import Config
from asrkd.corpus.subsets import speaker_folds
from asrkd.errors import UserError
from asrkd.experiment import expect_settings, identity
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.systems import fold_teacher_names, member_names
from asrkd.train.jobs import train_models
from asrkd.train.training import Training, training_settings

LEFT_OUT = "left_out_speakers"  # in a teacher's stamp and card


@dataclass(frozen=True)
class Group:
    """Training utterances whose targets come from the same teachers."""

    teachers: list[str]  # folders under EXP/models
    utterances: list[str]
    made_by: str  # the stage of the teachers


def fold_groups(store: FrameStore, config: Config) -> list[tuple[Group, list[str]]]:
    """A group for each fold, and its speakers. Raises UserError where there are fewer speakers than folds."""
    folds = config.distill.folds
    if (found := len(set(store.speakers))) < folds:
        raise UserError(
            f"{store.folder}: expected at least distill.folds={folds} speakers, found {found}; set fewer folds, or "
            "distill.folds=0 for the ensemble's own targets"
        )
    fold_of = speaker_folds(store.speakers, store.counts, folds, config.ensemble.seed)
    groups = []
    for fold in range(folds):
        own = [u for u, other in enumerate(fold_of.tolist()) if other == fold]
        names, speakers = [store.ids[u] for u in own], sorted({store.speakers[u] for u in own})
        groups.append((Group(fold_teacher_names(config, fold + 1), names, "stage 5"), speakers))
    return groups


def target_groups(exp: Path, config: Config) -> list[Group]:
    """The members for all of train or, with distill.folds, the folds.

    Raises UserError when a fold's teachers are missing, are of other settings than the config's or were trained for
    other folds: they may have heard its speakers.
    """
    store = FrameStore.open(exp / "features" / "train")
    if not config.distill.folds:
        return [Group(member_names(config), store.ids, "stage 4")]
    expect_fold_teachers(exp, config)
    groups = []
    for group, speakers in fold_groups(store, config):
        for name in group.teachers:
            identity(exp / "models" / name, group.made_by)
            card = exp / "models" / name / "card.json"
            if read_json(card).get(LEFT_OUT) != speakers:
                raise UserError(
                    f"{card}: expected a teacher trained without the {len(speakers)} speakers of its fold, found "
                    f"one of other folds; train it again with: asrkd fold-teachers {exp}"
                )
        groups.append(group)
    return groups


def expect_fold_teachers(exp: Path, config: Config) -> None:
    """Raises UserError where a fold's teacher was trained with other settings than the config's."""
    for fold in range(config.distill.folds):
        for number, name in enumerate(fold_teacher_names(config, fold + 1)):
            own = training_settings(config, Training(name, config.ensemble.seed + number))
            expect_settings(exp / "models" / name, "stage 5", config, own)


def teacher_identities(exp: Path, groups: Sequence[Group]) -> dict[str, str]:
    """models/NAME -> its identity, of each teacher once. Raises UserError when one is missing."""
    return {f"models/{name}": identity(exp / "models" / name, own.made_by) for own in groups for name in own.teachers}


def train_fold_teachers(exp: Path, config: Config, force: bool = False) -> None:
    """Train EXP/models/fold-1-member-01, ... on the speakers of the other folds, each fold's with the members' seeds.

    Nothing where distill.folds is 0. Raises UserError when there are fewer speakers than folds, an input is missing or
    a loss is no longer finite.
    """
    if not config.distill.folds:
        print("distill.folds=0: the ensemble's members give the soft targets, no other teachers", flush=True)
        return
    store = FrameStore.open(exp / "features" / "train")
    trainings = []
    for fold, (group, speakers) in enumerate(fold_groups(store, config), 1):
        left_out = set(speakers)
        others = tuple(name for name, speaker in zip(store.ids, store.speakers, strict=True) if speaker not in left_out)
        about = {"fold": fold, "folds": config.distill.folds, LEFT_OUT: speakers}
        trainings += [
            Training(name, config.ensemble.seed + number, utterances=others, about=about)
            for number, name in enumerate(group.teachers)
        ]
    train_models(exp, config, trainings, "stage 5", force)
