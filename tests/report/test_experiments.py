"""Experiments beside the stages in the report: their tables, drawings and figures; the curve over shares."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import hash_file, read_json, write_json
from asrkd.report.experiments import draw, experiment_hashes, read_experiments, share_curves
from asrkd.report.figures import HeatMap, Lines, Series
from asrkd.report.prepare import write_report
from asrkd.report.scores import read_scores
from asrkd.report.table import Table

LINES = Lines("By <size>", "parameters", "%", [Series("hard", "hard", [1e4, 1e6], [40.0, 50.5])], log_x=True)
RELIABILITY = Lines(
    "Reliability", "confidence", "accuracy", [Series("a", "student", [20, 80], [25, 70])], diagonal=True
)
SIZES = "experiments/sizes.json"
HEAT = HeatMap("Grid", "T", "weight", ["1", "2"], ["0", "0.5"], [[50.0, 50.25], [51.0, 50.5]])


def write(exp: Path, commit: str | None = "abc", inputs: dict[str, str] | None = None, made_with: Any = None) -> None:
    value = {
        "name": "sizes",
        "command": "asrkd experiment /home/someone/exp sizes",
        "commit": commit,
        "made_from": {"inputs": inputs or {}, "config": made_with or {}},
        "seconds": 61.0,
        "rows": [{"parameters": 10000}],
        "tables": [asdict(Table("sizes", "Smaller <students>", ["Size", "Hard"], [["4 x 8", "40.0"]], ["A note."]))],
        "lines": [asdict(LINES), asdict(RELIABILITY)],
        "heat_maps": [asdict(HEAT)],
    }
    write_json(exp / "experiments" / "sizes.json", value)


def test_they_are_shown_where_there_are_some(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(exp, config)
    assert read_json(exp / "report" / "results.json")["experiments"] == {}
    write(exp)
    write_report(exp, config)
    assert "done again, since the input experiments/sizes.json changed" in capsys.readouterr().out
    text, page = (exp / "report" / "RESULTS.md").read_text(), (exp / "report" / "index.html").read_text()
    assert "## Smaller <students>" in text and "| 4 x 8 | 40.0 |" in text
    assert "asrkd experiment exp sizes, 61 s, commit abc." in text and "/home/someone" not in text + page
    assert 'id="sizes"' in page and "Smaller &lt;students&gt;" in page and "Reliability: accuracy by confidence" in page
    assert read_json(exp / "report" / "results.json")["experiments"] == {"sizes": [{"parameters": 10000}]}


def test_another_config_is_told(exp: Path, config: Config) -> None:
    """Keys that were not there yet had their defaults."""
    was = asdict(config.distill) | {"epochs": 99, "optimizer": "adamw"}
    del was["tail"]
    write(exp, made_with={"distill": was, "model": asdict(config.model)})
    (found,) = read_experiments(exp, [SIZES], config)
    note = "Made with distill.epochs=99, distill.optimizer=adamw, which the config has otherwise."
    assert found.tables[0].notes[-1] == note
    write(exp, made_with={"distill": asdict(config.distill)})
    (found,) = read_experiments(exp, [SIZES], config)
    assert found.tables[0].notes[-1].endswith("commit abc.")


def test_what_is_no_result_is_refused(exp: Path, config: Config) -> None:
    write(exp, commit=None)
    (found,) = read_experiments(exp, [SIZES], config)
    assert found.lines == [LINES, RELIABILITY] and found.heat_maps == [HEAT]
    assert found.tables[0].notes[-1].endswith("commit unknown.")
    write_json(exp / "experiments" / "sizes.json", {"name": "sizes"})
    with pytest.raises(UserError, match=r"sizes\.json: expected the result of an experiment, found KeyError"):
        experiment_hashes(exp)
    for text in ('{"name": ', "[1]"):
        (exp / SIZES).write_text(text)
        with pytest.raises(UserError, match=r"sizes\.json: .* found none; delete this file alone"):
            experiment_hashes(exp)


def test_what_was_made_from_other_models_is_left_out(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder that is gone nothing is known."""
    stamp = read_json(exp / "models" / "member-01" / "stamp.json")
    write(exp, inputs={"models/member-01": stamp["identity"], "targets/train-T5": "deleted"})
    assert list(experiment_hashes(exp)) == [SIZES]
    write_report(exp, config)
    assert "Smaller" in (exp / "report" / "RESULTS.md").read_text()
    write(exp, inputs={"align": "another", "models/member-01": stamp["identity"]})
    assert experiment_hashes(exp) == {}
    capsys.readouterr()
    write_report(exp, config)
    assert f"leaves {exp / SIZES} out: made from another align than" in capsys.readouterr().out
    assert "Smaller" not in (exp / "report" / "RESULTS.md").read_text()
    assert read_json(exp / "report" / "results.json")["experiments"] == {}


def test_words_of_another_second_pass_are_left_out(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = read_json(exp / "graph" / "stamp.json")["identity"]
    second = exp / "lang" / "rescore.bin"
    write(exp, inputs={"graph": graph})
    assert list(experiment_hashes(exp)) == [SIZES]
    second.write_bytes(b"a model")
    assert experiment_hashes(exp) == {}
    assert "made from another lang/rescore.bin than" in capsys.readouterr().out
    write(exp, inputs={"graph": graph, "lang/rescore.bin": hash_file(second)})
    assert list(experiment_hashes(exp)) == [SIZES]
    second.unlink()
    assert experiment_hashes(exp) == {}
    write(exp)  # no words in it
    assert list(experiment_hashes(exp)) == [SIZES]


def test_drawings_are_xml_and_tell_their_numbers() -> None:
    for svg in draw([LINES, RELIABILITY, HEAT]):
        ElementTree.fromstring(svg)
    lines, _, heat = draw([LINES, RELIABILITY, HEAT])
    assert "hard: 10000 40.0, 1e+06 50.5" in lines and "var(--hard)" in lines
    assert ">10.0k<" in lines and ">1.0M<" in lines
    for value in ("50.00", "50.25", "51.00", "50.50"):
        assert f">{value}<" in heat
    assert draw([HEAT]) == draw([HEAT])


def test_the_curve_over_shares_needs_two(exp: Path, config: Config) -> None:
    scores = read_scores(exp, config)
    assert share_curves(scores) is None
    (pair,) = scores.limited.values()
    curve = share_curves(replace(scores, limited={0.1: pair, 0.03: pair}))
    assert curve is not None
    assert [(series.label, series.x, series.y) for series in curve.series] == [
        ("hard targets", [3.0, 10.0], [31.0, 31.0]),
        ("soft targets", [3.0, 10.0], [42.0, 42.0]),
    ]
