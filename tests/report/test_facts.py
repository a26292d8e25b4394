import shutil
from pathlib import Path

from asrkd.config import Config
from asrkd.report import facts
from asrkd.report.scores import read_scores
from tests.report.conftest import finished


def stamp(finished: str, seconds: float) -> dict[str, object]:
    return {"finished": f"2026-01-01 {finished}", "seconds": seconds, "versions": {"torch": "2.11.0"}}


def test_clock_counts_overlapping_steps_once_and_pauses_not_at_all() -> None:
    steps = [
        stamp("11:01:00", 60.0),  # 11:00:00 to 11:01:00
        stamp("11:01:30", 60.0),  # 11:00:30 to 11:01:30
        stamp("11:01:10", 10.0),  # inside the second
        stamp("12:00:00", 30.0),  # after a pause
    ]
    assert facts.seconds(steps) == {"work": 160.0, "clock": 120.0}
    assert facts.seconds(list(reversed(steps))) == {"work": 160.0, "clock": 120.0}
    assert facts.seconds([]) == {"work": 0.0, "clock": 0.0}


def test_stamps_by_stage(exp: Path, config: Config) -> None:
    # What an experiment has decoded beside the stages is no work of theirs.
    shutil.copytree(exp / "decode" / "ensemble", exp / "decode" / "members" / "ensemble-of-2")
    found = facts.stamps(exp, read_scores(exp, config), config)
    counts = {stage: len(some) for stage, some in found.items()}
    assert counts["4 members"] == 3
    assert counts["6 students"] == 1
    assert counts["7 limited data"] == 2
    assert counts["9 decoding"] == 7
    for name in ("train-T2-x0.9", "train-T5"):  # of another config
        finished(exp / "targets" / name, {})
    assert len(facts.stamps(exp, read_scores(exp, config), config)["5 soft targets"]) == 1
    assert facts.seconds(found["4 members"]) == {"work": 180.0, "clock": 150.0}


def test_stamps_of_all_students(exp_of_three_runs: Path, three_runs: Config) -> None:
    found = facts.stamps(exp_of_three_runs, read_scores(exp_of_three_runs, three_runs), three_runs)
    assert len(found["6 students"]) == 4


def test_reports_by_name_and_by_set() -> None:
    report = {
        "train": {"hours": 2.691, "words": 26000},
        "dev": {"hours": 0.4, "oov_rate": 0.016},
        "lexicon": {"source": "cmudict", "words": 126052},
        "discount_fallback": True,
        "passes": [1, 2.5],
    }
    plain, by_set = facts.report_tables("lang", report)
    assert plain.rows == [
        ["lexicon source", "cmudict"],
        ["lexicon words", "126,052"],
        ["discount fallback", "yes"],
    ]
    assert by_set.columns == ["", "train", "dev"]
    assert by_set.rows == [["hours", "2.691", "0.4"], ["words", "26,000", "–"], ["oov rate", "–", "0.016"]]


def test_versions_that_differ_are_all_named() -> None:
    one, other = stamp("11:00:00", 1.0), stamp("11:00:00", 1.0) | {"versions": {"torch": "2.12.0", "numpy": "2.0"}}
    assert facts.versions({"0 data": [one], "1 features": [other]}) == {"numpy": "2.0", "torch": "2.11.0, 2.12.0"}


def test_decoding_by_hand(exp: Path, config: Config) -> None:
    scores = read_scores(exp, config)
    table = facts.decoding_table(scores, facts.decoding(exp, scores))
    assert table.rows[3] == ["ensemble of 3", "1,581,556", "0.9", "-0.5", "44.0", "44.0", "0.0020", "0.041", "1"]
    assert "the acoustic scale is 0.12." in table.notes[0]


def test_folders_of_this_machine_are_not_told() -> None:
    told = {"lm": {"source": "lmplz, from /some/where/books.txt.gz", "files": ["/a/b.txt", "c/d.txt"], "words": 3}}
    kept = {"lm": {"source": "lmplz, from books.txt.gz", "files": ["b.txt", "c/d.txt"], "words": 3}}
    assert facts.without_folders(told) == kept
    assert facts.without_folders("4 /words and/or more") == "4 /words and/or more"
