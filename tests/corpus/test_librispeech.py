import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrkd.corpus.cuts import read_cuts, write_cuts
from asrkd.corpus.header import read_header
from asrkd.corpus.left_out import write_left_out
from asrkd.corpus.librispeech import read_librispeech
from asrkd.errors import UserError


def make_chapter(root: Path, subset: str, speaker: str, texts: list[str], suffix: str = ".flac") -> Path:
    folder = root / subset / speaker / "7"
    folder.mkdir(parents=True)
    lines = []
    for n, text in enumerate(texts):
        name = f"{speaker}-7-{n:04d}"
        soundfile.write(folder / f"{name}{suffix}", np.zeros(1600 * (n + 1)), 16000)
        lines.append(f"{name} {text}\n")
    (folder / f"{speaker}-7.trans.txt").write_text("".join(lines))
    return folder


def test_reads_the_layout(tmp_path: Path) -> None:
    make_chapter(tmp_path, "small", "20", ["ONE TWO", "THREE"])
    make_chapter(tmp_path, "small", "3", ["FOUR"], suffix=".wav")
    cuts, left_out = read_librispeech(tmp_path, "small")
    assert left_out == []
    assert [cut.id for cut in cuts] == ["20-7-0000", "20-7-0001", "3-7-0000"]
    assert [cut.supervisions[0].text for cut in cuts] == ["ONE TWO", "THREE", "FOUR"]
    assert [cut.supervisions[0].speaker for cut in cuts] == ["20", "20", "3"]
    assert [cut.duration for cut in cuts] == [0.1, 0.2, 0.1]
    assert [cut.sampling_rate for cut in cuts] == [16000] * 3
    # Lhotse itself finds the audio.
    assert [cut.load_audio().shape for cut in cuts] == [(1, 1600), (1, 3200), (1, 1600)]


def test_what_is_unusable_is_named_and_left_out(tmp_path: Path) -> None:
    folder = make_chapter(tmp_path, "small", "1", ["A", "B", "C", "", "E", "F"])
    (folder / "1-7-0001.flac").unlink()
    (folder / "1-7-0002.flac").write_bytes(b"no flac")
    (folder / "1-7-0004.flac").write_bytes(b"")
    soundfile.write(folder / "1-7-0009.flac", np.zeros(1600), 16000)
    with open(folder / "1-7.trans.txt", "a") as file:
        file.write("1-7-0000 AGAIN\n")
    cuts, left_out = read_librispeech(tmp_path, "small")
    assert [cut.id for cut in cuts] == ["1-7-0000", "1-7-0005"]
    why = {item.id: item.why for item in left_out}
    assert sorted(why) == ["1-7-0000", "1-7-0001", "1-7-0002", "1-7-0003", "1-7-0004", "1-7-0009"]
    assert "second transcript" in why["1-7-0000"]
    assert "transcript without audio" in why["1-7-0001"]
    assert "1-7-0002.flac" in why["1-7-0002"]
    assert "transcript is empty" in why["1-7-0003"]
    assert "1-7-0004.flac" in why["1-7-0004"]
    assert "audio without a transcript" in why["1-7-0009"]


def test_transcripts_with_tabs(tmp_path: Path) -> None:
    folder = make_chapter(tmp_path, "small", "1", ["A", "B"])
    (folder / "1-7.trans.txt").write_text("1-7-0000\tONE\tTWO\n\n1-7-0001 \t THREE\n1-7-0002\t\n")
    cuts, left_out = read_librispeech(tmp_path, "small")
    assert [cut.supervisions[0].text for cut in cuts] == ["ONE TWO", "THREE"]
    assert [item.id for item in left_out] == ["1-7-0002"]


def test_audio_is_that_of_the_transcripts_own_folder(tmp_path: Path) -> None:
    """Where files are numbered in each chapter anew."""
    for chapter, words in (("8", "EIGHT"), ("9", "NINE")):
        folder = tmp_path / "small" / "1" / chapter
        folder.mkdir(parents=True)
        soundfile.write(folder / f"0{chapter}.wav", np.zeros(1600), 16000)
        (folder / "a.trans.txt").write_text(f"0{chapter} {words}\n0001 {words}\n")
    soundfile.write(folder / "0001.wav", np.zeros(3200), 16000)
    cuts, left_out = read_librispeech(tmp_path, "small")
    assert [(cut.id, cut.supervisions[0].text) for cut in cuts] == [("08", "EIGHT"), ("09", "NINE")]
    assert [(item.id, item.why.partition(":")[0].partition("(")[0]) for item in left_out] == [
        ("0001", f"{folder / 'a.trans.txt'}, line 2"),  # a second transcript of the id, whose audio is no other item
        ("0001", "a transcript without audio "),
    ]


def test_audio_that_would_be_misheard_is_left_out(tmp_path: Path) -> None:
    folder = make_chapter(tmp_path, "small", "1", ["A", "B"])
    soundfile.write(folder / "1-7-0000.flac", np.zeros((1600, 2)), 16000)
    # What an encoder writes into a pipe has 0 for the 36 bits of the number of samples.
    endless = bytearray((folder / "1-7-0001.flac").read_bytes())
    endless[21] &= 0xF0
    endless[22:26] = bytes(4)
    (folder / "1-7-0001.flac").write_bytes(endless)
    strange = os.fsencode(folder) + b"/1-7-000\xe9.wav"
    Path(os.fsdecode(strange)).write_bytes((folder / "1-7-0001.flac").read_bytes())
    cuts, left_out = read_librispeech(tmp_path, "small")
    why = {item.id: item.why for item in left_out}
    assert len(cuts) == 0
    assert "1-7-0000.flac: expected one channel, found 2; convert it" in why["1-7-0000"]
    assert "1-7-0001.flac: a header without the number of samples; write it anew" in why["1-7-0001"]
    assert "audio without a transcript" in why["1-7-000\\udce9"]
    write_left_out(tmp_path / "left_out.jsonl", left_out)
    with pytest.raises(UserError, match="a name that is not UTF-8"):
        read_header(Path(os.fsdecode(strange)))


def test_transcripts_of_another_encoding(tmp_path: Path) -> None:
    folder = make_chapter(tmp_path, "small", "1", ["A"])
    (folder / "1-7.trans.txt").write_bytes("1-7-0000 CAFÉ NOIR\n".encode("latin1"))
    with pytest.raises(UserError, match=r"1-7\.trans\.txt: expected UTF-8 text.* byte 12.*iconv -f latin1"):
        read_librispeech(tmp_path, "small")
    (folder / "1-7.trans.txt").write_text("\ufeff1-7-0000 CAFÉ NOIR\n")  # an editor's mark is no part of the id
    cuts, left_out = read_librispeech(tmp_path, "small")
    assert [cut.supervisions[0].text for cut in cuts] == ["CAFÉ NOIR"] and not left_out


def test_a_missing_corpus_or_subset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder; --corpus-dir"):
        read_librispeech(tmp_path / "nowhere", "small")
    make_chapter(tmp_path, "dev-clean", "1", ["A"])
    make_chapter(tmp_path, "test-clean", "2", ["A"])
    with pytest.raises(UserError, match="subset 'small', found dev-clean, test-clean; --corpus-dir.*--train"):
        read_librispeech(tmp_path, "small")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="found 0 audio files and no transcript"):
        read_librispeech(tmp_path, "bare")


def test_cut_sets_are_written_with_the_same_bytes(tmp_path: Path) -> None:
    make_chapter(tmp_path, "small", "1", ["A", "B"])
    cuts, _ = read_librispeech(tmp_path, "small")
    write_cuts(tmp_path / "a.jsonl.gz", cuts)
    write_cuts(tmp_path / "b.jsonl.gz", read_cuts(tmp_path / "a.jsonl.gz"))
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no cut in it"),
        (b"hello\n", "line 1: expected a Lhotse MonoCut, found no JSON"),
        (b'{"id": "a", "start": 0}\n', "found an item of type None"),
        (b'{"type": "MonoCut", "id": "a"}\n', "lacks or has a wrong"),
        (b"[1]\n", "line 1"),
        (
            b'{"type": "MonoCut", "id": "a", "start": 0, "duration": 1, "channel": 0, "recording": "a"}\n',
            "line 1: .*'str'",
        ),
        (b"\xff\xfe\n", "found"),
    ],
)
def test_what_is_no_cut_set(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "cuts.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=match):
        read_cuts(path)


def written_by_hand(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A cut set of two, the second with fields (its own, its supervision's) that Lhotse would not write."""
    make_chapter(folder, "small", "1", ["A", "B"])
    cuts, _ = read_librispeech(folder, "small")
    fields = [cut.to_dict() for cut in cuts]
    change(fields[1], fields[1]["supervisions"][0])
    path = folder / "cuts.jsonl"
    path.write_text("".join(json.dumps(own) + "\n" for own in fields))
    return path


def test_numbers_as_names_become_strings(tmp_path: Path) -> None:
    path = written_by_hand(tmp_path, lambda cut, said: (cut.update(id=7), said.update(id=8, speaker=1089))[0])
    cut = list(read_cuts(path))[1]
    assert (cut.id, cut.supervisions[0].id, cut.supervisions[0].speaker) == ("7", "8", "1089")


@pytest.mark.parametrize(
    ("cut_fields", "said_fields", "found"),
    [
        ({"id": 1.5}, {}, "id 1.5"),
        ({"start": "0"}, {}, 'start "0"'),
        ({"duration": "0.2"}, {}, 'duration "0.2"'),
        ({"duration": float("nan")}, {}, "duration NaN"),
        ({}, {"text": 7}, "text 7"),
        ({}, {"speaker": ["s"]}, 'speaker \\["s"\\]'),
        ({}, {"start": "0"}, 'start of a supervision "0"'),
        ({}, {"duration": None}, "duration of a supervision null"),
    ],
)
def test_a_field_of_a_wrong_type(
    tmp_path: Path, cut_fields: dict[str, Any], said_fields: dict[str, Any], found: str
) -> None:
    path = written_by_hand(tmp_path, lambda cut, said: (cut.update(cut_fields), said.update(said_fields))[0])
    with pytest.raises(
        UserError, match=f"cuts.jsonl, line 2: expected a Lhotse MonoCut, found a cut with {found}, of a"
    ):
        read_cuts(path)


def test_a_recording_with_fields_of_a_wrong_type(tmp_path: Path) -> None:
    path = written_by_hand(tmp_path, lambda cut, _: cut["recording"]["sources"][0].update(source=7, channels=0))
    with pytest.raises(UserError, match="line 2: .* source 7, of a wrong type"):
        read_cuts(path)


def test_a_cut_set_that_is_cut_short(tmp_path: Path) -> None:
    make_chapter(tmp_path, "small", "1", ["A", "B"])
    cuts, _ = read_librispeech(tmp_path, "small")
    path = tmp_path / "cuts.jsonl.gz"
    write_cuts(path, cuts)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="cuts.jsonl.gz"):
        read_cuts(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="cuts.jsonl.gz"):
        read_cuts(path)
    with pytest.raises(UserError, match="no such cut set"):
        read_cuts(tmp_path / "missing.jsonl.gz")
