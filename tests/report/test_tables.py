from dataclasses import replace
from pathlib import Path

import pytest

from asrkd.config import Config
from asrkd.report import tables
from asrkd.report.scores import Scores, read_comparisons, read_scores
from asrkd.report.table import Table, markdown


@pytest.fixture
def scores(exp: Path, config: Config) -> Scores:
    return read_scores(exp, config)


def test_whole_data_beside_the_paper(scores: Scores) -> None:
    table = tables.whole_data(scores)
    baseline = ["51.0 ± 1.0", "47.0 ± 1.0", "58.9", "2.00 ± 0.10", "2.10 ± 0.10", "46.0 ± 1.0", "–", "10.9"]
    assert table.rows == [
        ["baseline (mean of 3)", *baseline, "310", "100", "50"],
        ["ensemble of 3", "55.0", "50.0", "61.1", "1.70", "2.00", "44.0", "42.0 to 46.0", "10.7", "290", "100", "50"],
        ["student, T = 2", "53.0", "49.4", "60.8", "1.80", "2.05", "44.5", "42.5 to 46.5", "10.7", "295", "100", "50"],
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_limited_data_beside_the_paper(scores: Scores) -> None:
    table = tables.limited_data(scores, Config())
    assert table.rows == [
        ["all", "hard", "70.0 ± 1.0", "63.4", "47.0 ± 1.0", "58.9", "2.10 ± 0.10", "46.0 ± 1.0", "–"],
        ["3 %", "hard", "90.0", "67.3", "27.0", "44.5", "4.10", "80.0", "78.0 to 82.0"],
        ["3 %", "soft", "80.0", "65.4", "42.0", "57.0", "2.60", "60.0", "58.0 to 62.0"],
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_paper_has_no_other_share_and_no_other_temperature(scores: Scores) -> None:
    (pair,) = scores.limited.values()
    assert [row[3] for row in tables.limited_data(replace(scores, limited={0.1: pair}), Config()).rows] == [
        "63.4",
        "–",
        "–",
    ]
    two = replace(scores, students=scores.students * 2)
    assert [row[3] for row in tables.whole_data(two).rows] == ["58.9", "61.1", "60.8", "–"]


def test_the_student_of_several_seeds_is_their_mean(exp_of_three_runs: Path, three_runs: Config) -> None:
    """Of 53, 54 and 55: 54 ± 1; of 44.5, 45.5 and 47: 45.67 ± 1.26; of 295, 305 and 320 substitutions 306.67."""
    scores = read_scores(exp_of_three_runs, three_runs)
    table = tables.whole_data(scores)
    mean = ["54.0 ± 1.0", "48.6 ± 0.8", "60.8", "1.85 ± 0.05", "2.15 ± 0.10", "45.7 ± 1.3", "–", "10.7"]
    assert table.rows[2] == ["student, T = 2 (mean of 3)", *mean, "307", "100", "50"]
    assert table.rows[3][:4] == ["student, T = 5", "51.0", "47.5", "–"]
    assert len(table.rows) == 4
    assert "over 3 runs that differ in their seed alone" in table.notes[-1]
    assert [row[:4] for row in tables.runs(scores).rows] == [
        ["student, T = 2", "68.0", "53.0", "49.4"],
        ["student, T = 2, run 2", "69.0", "54.0", "48.5"],
        ["student, T = 2, run 3", "70.0", "55.0", "47.9"],
    ]


def test_shares_of_several_seeds_are_those_of_their_mean(exp_of_three_runs: Path, three_runs: Config) -> None:
    """Frame accuracy on dev: the ensemble gains 4 over 51, the runs 2, 3, 4; on test 3 over 47, they 2.4, 1.5, .9."""
    rows = tables.share_rows(read_scores(exp_of_three_runs, three_runs))
    table = tables.shares(rows)
    assert table.rows[:3] == [
        ["ensemble's gain kept by student, T = 2 (mean of 3)", "dev", "75 ± 25 %", "50 ± 33 %", "–"],
        ["ensemble's gain kept by student, T = 2 (mean of 3)", "test", "53 ± 33 %", "–", "86 %"],
        ["ensemble's gain kept by student, T = 5", "dev", "0 ± 25 %", "33 ± 33 %", "–"],
    ]
    assert [note for note in table.notes if note.startswith("Run by run")] == [
        "Run by run, ensemble's gain kept by student, T = 2 (mean of 3), dev: "
        "frame accuracy 50 %, 75 %, 100 %; cross-entropy 67 %, 50 %, 33 %.",
        "Run by run, ensemble's gain kept by student, T = 2 (mean of 3), test: "
        "frame accuracy 80 %, 50 %, 30 %; cross-entropy –, –, –.",
    ]


def test_a_single_seed_is_told_as_one(scores: Scores) -> None:
    assert scores.runs == scores.students and scores.runs_interval == scores.students[0].test.interval
    notes = tables.whole_data(scores).notes + tables.shares(tables.share_rows(scores)).notes
    assert not any("first run" in note or "Run by run" in note for note in notes)


def test_shares_by_hand(scores: Scores) -> None:
    table = tables.shares(tables.share_rows(scores))
    assert table.rows == [
        ["ensemble's gain kept by student, T = 2", "dev", "50 ± 25 %", "67 ± 33 %", "–"],
        ["ensemble's gain kept by student, T = 2", "test", "80 ± 33 %", "–", "86 %"],
        ["gap closed by soft targets on 3 %", "dev", "55 ± 5 %", "74 ± 5 %", "–"],
        ["gap closed by soft targets on 3 %", "test", "75 ± 5 %", "75 ± 5 %", "87 %"],
    ]
    # The ensemble gains 0.1 in cross-entropy on test, one standard deviation of the members: no ground for a share.
    (why,) = [note for note in table.notes if note.startswith("–")]
    assert why == (
        "– ensemble's gain kept by student, T = 2, test, cross-entropy: "
        "the gain, 0.1, is within 2 standard deviations (0.1 each) of a run."
    )


def test_a_single_member_has_no_spread(scores: Scores) -> None:
    alone = replace(scores, members=scores.members[:1])
    assert tables.whole_data(alone).rows[0][1:3] == ["50.0", "46.0"]
    assert "The baseline is one member of the ensemble." in tables.whole_data(alone).notes
    assert "±" not in tables.shares(tables.share_rows(alone)).notes[0]
    assert "gap" not in tables.shares(tables.share_rows(replace(scores, limited={}))).notes[0]
    assert tables.shares(tables.share_rows(alone)).rows[0][2] == "60 %"  # (53 - 50) / (55 - 50)


def test_comparisons(exp: Path) -> None:
    rows = read_comparisons(exp)
    table = tables.comparisons(rows, speakers=2)
    (cells,) = table.rows
    assert cells == [
        "student, T = 2",
        "member 1",
        "-0.50",
        "-1.50 to +0.50",
        "-2.50 to +1.50",
        "80 %",
        "0.395",
    ]
    assert len(cells) == len(table.columns)
    assert "matched pairs test of Gillick and Cox" in table.notes[1] and "on 1,234 segments" in table.notes[1]
    assert table.notes[2].startswith("Test has 2 speakers. “By speaker”, speakers are resampled,")
    assert tables.comparisons([], speakers=1).notes[2].startswith("Test has 1 speaker. ")
    few = [replace(rows[0], interval_by_speaker=None, p=None, segments=7), replace(rows[0], p=1e-9)]
    assert [row[4::2] for row in tables.comparisons(few, speakers=1).rows] == [
        ["–", "–"],
        ["-2.50 to +1.50", "< 0.001"],
    ]
    assert "on 7 to 1,234 segments" in tables.comparisons(few, speakers=1).notes[1]


def test_a_test_set_of_one_utterance_has_dashes_for_intervals_and_the_reason(exp: Path, scores: Scores) -> None:
    test = replace(scores.ensemble.test, interval=None)
    table = tables.whole_data(replace(scores, ensemble=replace(scores.ensemble, test=test)))
    assert table.rows[1][table.columns.index("95 % interval")] == "–"
    assert table.notes[-1] == "Test has one utterance, and an interval needs two at least."
    assert not any("one utterance" in note for note in tables.whole_data(scores).notes)
    alone = replace(read_comparisons(exp)[0], interval=None, interval_by_speaker=None, better=None)
    compared = tables.comparisons([alone], speakers=1)
    assert compared.rows[0][3:6] == ["–", "–", "–"] and compared.notes[-1] == table.notes[-1]


def test_markdown() -> None:
    table = Table("name", "Title", ["", "Set", "a|b"], [["x", "dev", "1"]], ["A note."], texts=2)
    marked = Table("a", "Title", ["<NOISE>", "p < 0.1"], [["*", "&amp; R&B"]])
    assert markdown(marked).splitlines()[2::2] == ["| \\<NOISE> | p < 0.1 |", "| \\* | \\&amp; R&B |"]
    assert markdown(table) == ("## Title\n\n|  | Set | a\\|b |\n| --- | --- | ---: |\n| x | dev | 1 |\n\nA note.\n")
