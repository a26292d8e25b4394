"""The report of a hand-made experiment: three files, every number of which follows from the ones in conftest.py."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.experiment import STAMP
from asrkd.files import read_json, write_json
from asrkd.report.build import OUTPUTS
from asrkd.report.prepare import write_report

VOID = {"meta", "link", "br", "img", "path", "use"}


class Page(HTMLParser):
    """Tables as rows of text, links, the ids to link to; an error where a tag is not closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.marks: list[tuple[str, str]] = []
        self.kinds: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
            self.kinds.append(values.get("class") or "")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "a":
            self.links.add(values.get("href") or "")
        if "id" in values:
            self.ids.append(values["id"] or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
            self.kinds.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self.kinds and self.kinds[-1] in ("sub", "ins", "del"):
            self.marks.append((self.kinds[-1], data))


def test_the_page_holds_the_tables_and_fetches_nothing(exp: Path, config: Config) -> None:
    write_report(exp, config)
    text = (exp / "report" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not any(word in text for word in ("http:", "https:", "//www", "<script", "<link", "src=", "@import"))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    cells = [row for table in page.tables for row in table]
    assert [
        "student, T = 2",
        "53.0",
        "49.4",
        "60.8",
        "1.80",
        "2.05",
        "44.5",
        "42.5 to 46.5",
        "10.7",
        "295",
        "100",
        "50",
    ] in cells
    assert ["3 %", "soft", "80.0", "65.4", "42.0", "57.0", "2.60", "60.0", "58.0 to 62.0"] in cells
    assert ["ensemble's gain kept by student, T = 2", "test", "80 ± 33 %", "–", "86 %"] in cells
    assert ["arcs", "12,000,000"] in cells
    assert ["torch", "2.11.0"] in cells
    assert text.count("<svg") == 5


def test_an_utterance_can_be_played(exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three; the third's audio has gone, and the page says so."""
    monkeypatch.chdir(exp)
    samples = np.round(8000 * np.sin(np.arange(16000) / 7)) / 32768
    for name, sign in (("u1", 1), ("u2", -1)):
        soundfile.write(f"{name}.wav", sign * samples, 16000)
    write_report(exp, config)
    text = (exp / "report" / "index.html").read_text(encoding="utf-8")
    found = re.findall(r'<audio controls src="data:audio/flac;base64,([^"]*)" aria-label="(u.)">', text)
    assert [name for _, name in found] == ["u1", "u2"]
    for (encoded, _), sign in zip(found, (1, -1), strict=True):
        played, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
        assert rate == 16000 and np.array_equal(played, sign * samples)
    assert "Nothing to play: u3.wav: expected 16000 samples at 16000 Hz, found no such file" in text


def test_errors_are_marked_and_text_is_escaped(exp: Path, config: Config) -> None:
    write_report(exp, config)
    text = (exp / "report" / "index.html").read_text(encoding="utf-8")
    marks = Page(text).marks[3:]  # after the three of the legend
    # THE [CAT ->] BAT SAT; A [DOG]; <B> RAN & HID [+ NOW]; each by baseline, ensemble and student
    assert sorted(set(marks)) == [("del", "DOG"), ("ins", "NOW"), ("sub", "BAT")]
    assert len(marks) == 9
    assert "&lt;B&gt; RAN &amp; HID" in text
    assert "<B>" not in text


def test_markdown_and_json_say_the_same(exp: Path, config: Config) -> None:
    write_report(exp, config)
    markdown = (exp / "report" / "RESULTS.md").read_text(encoding="utf-8")
    assert "| baseline (mean of 3) | 51.0 ± 1.0 | 47.0 ± 1.0 | 58.9 |" in markdown
    assert "Test has 2 speakers." in markdown
    assert "| 4 members | 2 min | 3 min |" in markdown  # 150 s and 180 s
    results = json.loads((exp / "report" / "results.json").read_text(encoding="utf-8"))
    assert results["systems"]["student-T2"]["test"]["frame_accuracy"] == pytest.approx(49.4)
    assert [round(row["accuracy"]["percent"]) for row in results["shares"]] == [50, 80, 55, 75]
    assert results["seconds"]["4 members"] == {"work": 180.0, "clock": 150.0}
    assert results["stages"]["lang"]["perplexity"] == 251.5
    assert results["decoding"]["ensemble"]["second"]["lm_scale"] == 0.9
    assert "| 0.75 | 42.0 | 40.0 | 21.0 | 42.0 | 40.0 | 21.0 |" in (exp / "report" / "RESULTS.md").read_text()
    assert results["config"]["ensemble"]["members"] == 3
    assert results["systems"]["student-T2"]["test"]["interval_by_speaker"] == pytest.approx([41.5, 47.5])
    assert results["comparisons"][0]["p"] == 0.3953
    assert [row["speaker"] for row in results["student"]["speakers"]] == ["s1", "s2"]
    assert results["student"]["frames_by_phone"][2] == [100, 100, 300]
    assert results["rates"]["hard-3"]["words_a_minute"] == 100
    assert "| CAT → BAT | 7 | A | 5 |  |  |" in markdown
    assert "3 % of the data, hard targets hears 100 words a minute, the references have 160." in markdown
    assert results["curves"]["member-01"]["dev"] == [40.0, 45.0, pytest.approx(50 - 10 / 3)]


def test_the_same_experiment_gives_the_same_bytes(exp: Path, config: Config) -> None:
    def made() -> list[bytes]:
        write_report(exp, config, force=True)
        return [(exp / "report" / name).read_bytes() for name in OUTPUTS]

    assert made() == made()


def test_a_finished_report_is_left_and_a_stale_one_written_again(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(exp, config)
    capsys.readouterr()
    write_report(exp, config)
    assert "finished, skipped" in capsys.readouterr().out
    stamp = exp / "models" / "member-01" / STAMP
    stamp.write_text(json.dumps(read_json(stamp) | {"seconds": 90.0}))
    write_report(exp, config)
    assert "done again" in capsys.readouterr().out


def test_a_student_of_three_seeds(exp_of_three_runs: Path, three_runs: Config) -> None:
    folder = exp_of_three_runs / "report"
    write_report(exp_of_three_runs, three_runs)
    text = (folder / "index.html").read_text(encoding="utf-8")
    cells = [row for table in Page(text).tables for row in table]
    assert ["student, T = 2 (mean of 3)", "54.0 ± 1.0", "48.6 ± 0.8"] in [row[:3] for row in cells]
    assert "test frame accuracy of the student, mean of 3; baseline 47.0, ensemble 50.0" in text
    assert "word error rate of the student, mean of 3; baseline 46.0, ensemble 44.0" in text
    assert "student, T = 2, mean of 3 45.7, student, T = 5 46.5" in text  # what the drawing of the WER is called
    assert text.count("<svg") == 5
    assert ["seed of the students", "101; at T = 2, 101 to 103"] in cells
    # What is of one student is of the first run.
    results = read_json(folder / "results.json")
    assert [row["system"] for row in results["comparisons"]] == ["student, T = 2"]
    assert {"student-T2", "student-T2-2", "student-T2-3", "student-T5"} <= results["systems"].keys()
    assert [results["curves"][name]["group"] for name in ("student-T2", "student-T2-3", "student-T5")] == [
        "student, T = 2",
        "student, T = 2",
        "student, T = 5",
    ]
    assert [[round(share["percent"]) for share in run] for run in results["shares"][0]["runs"]] == [
        [50, 67],
        [75, 50],
        [100, 33],
    ]


def test_one_temperature_and_no_share_is_a_report_too(exp: Path, config: Config) -> None:
    config.limited.shares = []
    write_report(exp, config)
    assert (exp / "report" / "index.html").read_text(encoding="utf-8").count("<svg") == 4


def more_members(config: Config) -> None:
    config.ensemble.members = 4


def other_share(config: Config) -> None:
    config.limited.shares = [0.1]


@pytest.mark.parametrize(("change", "system"), [(more_members, "member-04"), (other_share, "hard-10")])
def test_a_system_without_scores_names_the_stage(
    exp: Path, config: Config, change: Callable[[Config], None], system: str
) -> None:
    change(config)
    with pytest.raises(UserError, match=rf"{system}\.json: .*stage 10"):
        write_report(exp, config)


def test_another_beam_than_the_words_were_found_with_is_refused(exp: Path, config: Config) -> None:
    path = exp / "decode" / "ensemble" / "stamp.json"
    write_json(path, read_json(path) | {"config": section(config, "decode")})
    write_report(exp, config)
    config.decode.search_beam = 11.0
    with pytest.raises(UserError, match=r"decode/ensemble: made with decode\.search_beam=12\.0.* --stage 9"):
        write_report(exp, config)


def test_no_scores_at_all_names_the_stage(tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match=r"scores: not there yet; stage 10 makes it"):
        write_report(tmp_path, config)


def test_scores_without_a_value_are_refused(exp: Path, config: Config) -> None:
    path = exp / "scores" / "ensemble.json"
    value = read_json(path)
    del value["test"]["wer"]
    text = json.dumps(value)
    path.write_text(text + " " * (path.stat().st_size - len(text)))
    with pytest.raises(UserError, match=r"ensemble\.json: .*'wer'.*--force"):
        write_report(exp, config)


def test_counts_of_an_older_version_are_refused(exp: Path, config: Config) -> None:
    (exp / "counts" / "member-01" / "rates.json").write_text("{}")
    with pytest.raises(UserError, match=r"rates\.json: expected the rates of stage 10, found KeyError.*--force"):
        write_report(exp, config)


def test_a_missing_report_of_a_stage_is_named(exp: Path, config: Config) -> None:
    (exp / "lang" / "report.json").unlink()
    with pytest.raises(UserError, match=r"lang/report\.json: no such file"):
        write_report(exp, config)
