from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import write_npy
from asrkd.report import details
from asrkd.report.scores import Score, Scores, read_scores


@pytest.fixture
def scores(exp: Path, config: Config) -> Scores:
    return read_scores(exp, config)


@pytest.fixture
def student(scores: Scores) -> Score:
    return scores.students[0]


@pytest.fixture
def found(exp: Path) -> details.Details:
    return details.read_details(exp, "student-T2")


def test_speakers_the_worst_first(student: Score, found: details.Details) -> None:
    silent = replace(found.speakers[0], speaker="s0", words=0, wer=None)
    table = details.speakers_table(student, replace(found, speakers=[silent, *found.speakers]))
    assert table.rows[:2] == [
        ["s2", "1", "400", "51.2", "145", "40", "20"],
        ["s1", "2", "600", "40.0", "150", "60", "30"],
    ]
    assert table.rows[2][:4] == ["s0", "2", "0", "–"]
    assert "is 41.5 to 47.5; with utterances drawn, 42.5 to 46.5." in table.notes[0]
    alone = replace(student, test=replace(student.test, interval_by_speaker=None))
    assert "one speaker" in details.speakers_table(alone, found).notes[0]


def test_confusions_side_by_side(student: Score, found: details.Details) -> None:
    table = details.confusions_table(student, found)
    assert table.rows == [["CAT → BAT", "7", "A", "5", "", ""], ["A → THE", "2", "", "", "", ""]]
    assert len(table.columns) == 6
    assert details.confusions_table(student, replace(found, confusions=[])).rows == []


def test_phones_the_worst_first(student: Score, found: details.Details) -> None:
    table = details.phones_table(student, found)
    # SPN has no frame by the labels. Of AA's 500, 300 are right and 100 each are taken for the two others.
    assert table.rows == [["AA", "500", "60.0", "SIL", "20.0"], ["SIL", "1,000", "100.0", "–", "–"]]
    assert "of all frames 86.7 % have the right phone" in table.notes[0]


def test_rates_name_what_is_far_off(exp: Path, scores: Scores) -> None:
    table = details.rates_table(scores, details.read_rates(exp, scores))
    assert table.rows[0] == ["member 1", "20.0", "19.0", "170", "160"]
    assert table.notes[1:] == ["3 % of the data, hard targets hears 100 words a minute, the references have 160."]


def test_frames_of_other_phones_are_refused(exp: Path) -> None:
    path = exp / "counts" / "student-T2" / "phones-test.npy"
    write_npy(path, np.zeros((2, 2), dtype=np.int64))
    with pytest.raises(UserError, match=r"frames by the 3 phones, found \(2, 2\)"):
        details.read_details(exp, "student-T2")
    path.unlink()
    with pytest.raises(UserError, match=r"phones-test\.npy.*--stage 10 --force"):
        details.read_details(exp, "student-T2")
