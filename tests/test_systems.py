from asrkd.config import Config
from asrkd.systems import systems


def students(config: Config) -> list[tuple[str, str]]:
    return [(system.name, system.label) for system in systems(config) if system.kind == "student"]


def test_a_student_a_temperature() -> None:
    config = Config()
    assert students(config) == [("student-T2", "student, T = 2")]
    config.distill.temperatures = [1.0, 2.5]
    assert students(config) == [("student-T1", "student, T = 1"), ("student-T2.5", "student, T = 2.5")]


def test_more_runs_of_the_first_temperature_alone() -> None:
    config = Config()
    config.distill.temperatures, config.distill.students = [2.0, 5.0], 3
    assert students(config) == [
        ("student-T2", "student, T = 2"),
        ("student-T2-2", "student, T = 2, run 2"),
        ("student-T2-3", "student, T = 2, run 3"),
        ("student-T5", "student, T = 5"),
    ]
    names = [system.name for system in systems(config)]
    assert len(set(names)) == len(names)
