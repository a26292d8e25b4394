"""What is compared: the members, their ensemble, the students, and the pairs trained on little data."""

from dataclasses import dataclass

from asrkd.config import Config
from asrkd.errors import UserError

TRAINED_BY = {"member": "stage 4", "ensemble": "stage 4", "student": "stage 6", "limited": "stage 7"}


@dataclass(frozen=True)
class System:
    """A recogniser: one model or, for an ensemble, the mean posterior of several."""

    name: str  # also the folder of its results
    kind: str  # member, ensemble, student or limited
    models: list[str]  # folders under EXP/models
    label: str  # for tables


def member_names(config: Config) -> list[str]:
    return [f"member-{number:02d}" for number in range(1, config.ensemble.members + 1)]


def fold_teacher_names(config: Config, fold: int) -> list[str]:
    """Of the teachers that never heard the speakers of a fold, counted from 1."""
    return [f"fold-{fold}-member-{number:02d}" for number in range(1, config.distill.fold_members + 1)]


def all_fold_teachers(config: Config) -> list[str]:
    """None without distill.folds."""
    return [name for fold in range(1, config.distill.folds + 1) for name in fold_teacher_names(config, fold)]


def student_name(temperature: float, run: int = 1) -> str:
    """Of the runs of one temperature, counted from 1, which differ in their seed, the first has no number."""
    return f"student-T{temperature:g}" + (f"-{run}" if run > 1 else "")


def student_runs(config: Config) -> list[tuple[float, int]]:
    """The temperature of each student, and which of that temperature's runs it is: the first one may have several."""
    counts = [config.distill.students if place == 0 else 1 for place in range(len(config.distill.temperatures))]
    pairs = zip(config.distill.temperatures, counts, strict=True)
    return [(temperature, run) for temperature, count in pairs for run in range(1, count + 1)]


def limited_name(targets: str, share: float) -> str:
    """`targets` is hard or soft: hard-3 and soft-3 are the pair trained on 3 % of the data."""
    return f"{targets}-{100 * share:g}"


def systems(config: Config) -> list[System]:
    members = member_names(config)
    found = [System(name, "member", [name], f"member {number}") for number, name in enumerate(members, 1)]
    found.append(System("ensemble", "ensemble", members, f"ensemble of {len(members)}"))
    for temperature, run in student_runs(config):
        name = student_name(temperature, run)
        label = f"student, T = {temperature:g}" + (f", run {run}" if run > 1 else "")
        found.append(System(name, "student", [name], label))
    for share in config.limited.shares:
        for targets in ("hard", "soft"):
            name = limited_name(targets, share)
            found.append(System(name, "limited", [name], f"{100 * share:g} % of the data, {targets} targets"))
    return found


def system_named(config: Config, name: str) -> System:
    """Raises UserError when there is none of that name."""
    found = {system.name: system for system in systems(config)}
    if name not in found:
        raise UserError(f"--system {name}: expected one of {', '.join(found)}")
    return found[name]
