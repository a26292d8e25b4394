"""The tables of stage 11, from numbers that can be checked in the head."""

from pathlib import Path
from typing import Any

import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.files import read_json, write_json
from asrkd.report.prepare import write_report
from asrkd.report.specialists import specialists_tables, steps


def combination(accuracy: float, correct: list[int]) -> dict[str, Any]:
    """Of 1000 frames: 200 that no specialist covers, 500 that one does, 300 that two do; right by the generalist are
    100, 250 and 150 of them."""
    rows = [
        {"specialists": n, "frames": frames, "generalist_correct": frames // 2, "combined_correct": right}
        for n, frames, right in zip((0, 1, 2), (200, 500, 300), correct, strict=True)
    ]
    measured = {"frames": 1000, "rows": rows, "unfinished": 0.0012}
    return measured | {
        "generalist": {"accuracy": 0.5, "cross_entropy": 2.0},
        "combined": {"accuracy": accuracy, "cross_entropy": 1.9},
    }


def found() -> dict[str, Any]:
    hard, soft = combination(0.49, [100, 240, 150]), combination(0.52, [100, 255, 165])
    students = {"student-combined": 0.515, "student-generalist": 0.512}
    return {
        "generalist": "member-01",
        "distilled": "soft",
        "clusters": [
            {"pdfs": [0, 1, 5], "phones": [["AA", 2], ["AH", 1]], "frames": 0.123},
            {"pdfs": list(range(7)), "phones": [[name, 1] for name in "ABCDEFG"], "frames": 0.5},
        ],
        "combinations": {"hard": {"dev": hard, "test": hard}, "soft": {"dev": soft, "test": soft}},
        "students": {
            name: {split: {"accuracy": own, "cross_entropy": 1.95} for split in ("dev", "test")}
            for name, own in students.items()
        },
    }


def make(exp: Path, tables: dict[str, Any]) -> None:
    step = Step(exp / "specialists" / "results", made_by="stage 11", config={}, inputs={})
    step.begin()
    write_json(step.folder / "tables.json", tables)
    step.finish(["tables.json"])


def test_the_tables(tmp_path: Path) -> None:
    make(tmp_path, found())
    summary, coverage, clusters = specialists_tables(tmp_path)
    assert [row[0] for row in summary.rows] == [
        "generalist (member-01)",
        "with 2 specialists, hard targets",
        "with 2 specialists, soft targets",
        "student of all",
        "student of the generalist",
    ]
    assert summary.rows[0][1:] == ["50.00", "50.00", "50.00", "50.00", "2.000", "2.000", "–", "–"]
    # 255 and 165 of 500 and 300; 52 is 4 % more than 50.
    assert summary.rows[2][1:] == ["52.00", "52.00", "52.50", "52.50", "1.900", "1.900", "+4.0 %", "+4.0 %"]
    assert summary.rows[3][1:] == ["51.50", "51.50", "–", "–", "1.950", "1.950", "+3.0 %", "+3.0 %"]
    assert (
        "+0.30 on dev, where its teacher has +2.00 and +0.30 on test, where its teacher has +2.00" in summary.notes[2]
    )
    assert "At most 0.12 %" in summary.notes[4]
    assert coverage.rows[4] == ["test", "1", "500", "50.0", "48.0", "-4.0 %", "51.0", "+2.0 %"]
    assert clusters.rows == [["1", "AA 2, AH", "3", "12.3 %"], ["2", "A, B, C, D, E, F, …", "7", "50.0 %"]]


def test_a_loss_is_said_too(tmp_path: Path) -> None:
    make(tmp_path, found() | {"distilled": "hard"})
    assert "+0.30 on dev, where its teacher has -1.00" in specialists_tables(tmp_path)[0].notes[2]


def test_other_contents_are_named(tmp_path: Path) -> None:
    make(tmp_path, {"generalist": "member-01"})
    with pytest.raises(UserError, match=r"tables\.json: expected the tables of stage 11, found KeyError"):
        specialists_tables(tmp_path)


def test_its_time_is_that_of_what_the_results_were_made_from(tmp_path: Path) -> None:
    made_from = {
        "models/member-01": ["align"],
        "specialists/clusters": ["models/member-01"],
        "models/specialist-hard-01": ["specialists/clusters", "models/member-01"],
        "models/specialist-hard-02": ["specialists/clusters"],  # of an earlier call, for more clusters
        "specialists/combined-T2": ["models/specialist-hard-01", "specialists/deleted"],
        "models/student-T2": ["targets/train-T2"],
        "models/student-combined": ["specialists/combined-T2", "features/train"],
        "specialists/results": ["models/student-combined", "specialists/clusters"],
    }
    for name, inputs in made_from.items():
        write_json(tmp_path / name / "stamp.json", {"inputs": dict.fromkeys(inputs, "identity")})
    assert steps(tmp_path) == [
        tmp_path / name
        for name in (
            "models/specialist-hard-01",
            "models/student-combined",
            "specialists/clusters",
            "specialists/combined-T2",
            "specialists/results",
        )
    ]


def test_the_report_shows_them_where_they_are(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(exp, config)
    report = exp / "report" / "RESULTS.md"
    assert "Specialists" not in report.read_text(encoding="utf-8")
    make(exp, found())
    stamp = read_json(exp / "specialists" / "results" / "stamp.json")
    write_json(exp / "specialists" / "results" / "stamp.json", stamp | {"seconds": 3720.0})
    write_report(exp, config)
    assert "| 11 specialists | 62 min | 62 min |" in report.read_text(encoding="utf-8")
    assert "| with 2 specialists, soft targets | 52.00 |" in report.read_text(encoding="utf-8")
    assert 'id="coverage"' in (exp / "report" / "index.html").read_text(encoding="utf-8")
    capsys.readouterr()
    write_report(exp, config)
    assert "report: finished, skipped" in capsys.readouterr().out
    (exp / "specialists" / "results" / "tables.json").unlink()
    write_report(exp, config)
    assert "the report leaves the specialists out: " in capsys.readouterr().out
    text = report.read_text(encoding="utf-8")
    assert "Specialists" not in text and "11 specialists" not in text
