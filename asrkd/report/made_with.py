"""Whether what a report shows was made with the settings that it prints: the config may have been changed since."""

from pathlib import Path

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import expect_settings, expect_unchanged, made_of
from asrkd.files import hash_file
from asrkd.lang.prepare import chosen, sources
from asrkd.systems import all_fold_teachers, member_names, systems
from asrkd.train.folds import expect_fold_teachers
from asrkd.train.limited import limited
from asrkd.train.members import members
from asrkd.train.students import students
from asrkd.train.training import Training, at_speed, targets_name, training_settings

STAGES = {  # folder -> who makes it; what is made of files, models, targets and decoded systems have rules of their own
    "features/train": "stage 1",
    "features/dev": "stage 1",
    "features/test": "stage 1",
    "align": "stage 3",
    "graph": "stage 8",
}


def expect_config(exp: Path, config: Config) -> None:
    """Raises UserError for the first step of stages 0 to 9 that was made with other settings than the config's, or of
    which the soft targets are of other teachers."""
    _expect_files(exp, config)
    for name, stage in STAGES.items():
        expect_settings(exp / name, stage, config)
    expect_targets(exp, config)
    expect_members(exp, config)
    expect_fold_teachers(exp, config)
    _expect_trained(exp, config, "stage 6", students(config))
    _expect_trained(exp, config, "stage 7", limited(config))
    for system in systems(config):
        expect_settings(exp / "decode" / system.name, "stage 9", config)


def _expect_files(exp: Path, config: Config) -> None:
    """Of the user's files those that are still there are compared: none of them is needed any more."""
    if was := made_of(exp / "data"):
        named = {split: Path(getattr(config.data, split)) for split in was}
        now = {split: hash_file(path) if path.is_file() else was[split] for split, path in named.items()}
        expect_unchanged(exp / "data", "stage 0", section(config, "features.sample_rate"), now)
    if was := made_of(exp / "lang"):
        now = {"data": was["data"], **sources(config.lang, was)}
        expect_unchanged(exp / "lang", "stage 2", chosen(config), now)


def expect_members(exp: Path, config: Config) -> None:
    """Raises UserError where a member was trained with other settings than the config's."""
    _expect_trained(exp, config, "stage 4", members(config))


def expect_targets(exp: Path, config: Config) -> None:
    """Raises UserError where stage 5's soft targets are of other teachers or settings than the config's."""
    for temperature in config.distill.temperatures:
        for speed in config.distill.speeds:
            folder = exp / at_speed(targets_name(temperature), speed)
            expect_settings(folder, "stage 5", config)
            _expect_its_teachers(folder, config)


def _expect_trained(exp: Path, config: Config, stage: str, trainings: list[Training]) -> None:
    for training in trainings:
        own = training_settings(training.config or config, training)
        expect_settings(exp / "models" / training.name, stage, config, own)


def _expect_its_teachers(folder: Path, config: Config) -> None:
    names = all_fold_teachers(config) or member_names(config)
    found = [name.removeprefix("models/") for name in sorted(made_of(folder)) if name.startswith("models/")]
    if found and found != sorted(names):
        raise UserError(
            f"{folder}: expected soft targets of the config's {len(names)} teachers ({names[0]}, ...), found those of "
            f"{len(found)} ({found[0]}, ...); run stage 5 again (run.sh --stage 5), or set distill.folds and "
            "ensemble.members back"
        )
