import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.augmentation import Speed

from asrkd.config import Config
from asrkd.corpus.cuts import make_cut, read_cuts, write_cuts
from asrkd.corpus.prepare import prepare_data, problem, validate
from asrkd.errors import UserError
from asrkd.files import read_json, read_jsonl


def corpus(folder: Path, counts: dict[str, int]) -> tuple[Config, dict[str, list[MonoCut]]]:
    """Cut sets of silent utterances, and a config that names them."""
    config = Config()
    splits: dict[str, list[MonoCut]] = {}
    for split, count in counts.items():
        splits[split] = []
        for n in range(count):
            audio = folder / f"{split}-{n}.wav"
            soundfile.write(audio, np.zeros(1600), 16000)
            splits[split].append(make_cut(f"{split}-{n}", audio, 16000, 1600, f"{split}-speaker{n % 2}", "A B  A"))
        write_cuts(folder / f"{split}.jsonl.gz", splits[split])
        setattr(config.data, split, str(folder / f"{split}.jsonl.gz"))
    return config, splits


SIZES = {"train": 4, "dev": 2, "test": 2}


def test_writes_what_is_valid(tmp_path: Path) -> None:
    config, _ = corpus(tmp_path, SIZES)
    prepare_data(tmp_path / "exp", config)
    data = tmp_path / "exp" / "data"
    assert [cut.id for cut in read_cuts(data / "train.jsonl.gz")] == ["train-0", "train-1", "train-2", "train-3"]
    assert read_cuts(data / "dev.jsonl.gz")[0].supervisions[0].text == "A B A"
    assert read_jsonl(data / "left_out.jsonl") == []
    assert read_json(data / "report.json")["train"] == {
        "utterances": 4,
        "hours": round(0.4 / 3600, 4),
        "speakers": 2,
        "words": 12,
        "distinct_words": 2,
        "left_out": 0,
    }


def test_transcripts_are_written_in_nfc(tmp_path: Path) -> None:
    config, splits = corpus(tmp_path, SIZES)
    splits["dev"][0].supervisions[0].text = "E\u0301TE\u0301"
    write_cuts(tmp_path / "dev.jsonl.gz", splits["dev"])
    prepare_data(tmp_path / "exp", config)
    assert read_cuts(tmp_path / "exp" / "data" / "dev.jsonl.gz")[0].supervisions[0].text == "\u00c9T\u00c9"


def test_skips_when_finished_and_redoes_when_the_data_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, splits = corpus(tmp_path, SIZES)
    prepare_data(tmp_path / "exp", config)
    before = {path.name: path.read_bytes() for path in (tmp_path / "exp" / "data").glob("*.gz")}
    capsys.readouterr()
    prepare_data(tmp_path / "exp", config)
    assert "skipped" in capsys.readouterr().out
    write_cuts(tmp_path / "test.jsonl.gz", splits["test"][:1])
    prepare_data(tmp_path / "exp", config)
    assert "the input test changed" in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in (tmp_path / "exp" / "data").glob("*.gz")}
    assert after["train.jsonl.gz"] == before["train.jsonl.gz"]
    assert after["test.jsonl.gz"] != before["test.jsonl.gz"]


def set_recording(**fields: Any) -> Callable[[MonoCut], None]:
    def change(cut: MonoCut) -> None:
        for name, value in fields.items():
            setattr(cut.recording, name, value)

    return change


def set_supervision(**fields: Any) -> Callable[[MonoCut], None]:
    def change(cut: MonoCut) -> None:
        for name, value in fields.items():
            setattr(cut.supervisions[0], name, value)

    return change


def missing_audio(cut: MonoCut) -> None:
    Path(cut.recording.sources[0].source).unlink()


def two_supervisions(cut: MonoCut) -> None:
    cut.supervisions *= 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_recording(sampling_rate=8000), "expected 16000 Hz (features.sample_rate), found 8000 Hz"),
        (set_recording(sampling_rate=8000), "set features.sample_rate=8000, else resample"),
        (set_recording(transforms=[Speed(0.9)]), "augmented"),
        (set_recording(sources=[]), "one audio file"),
        (set_supervision(text="  "), "transcript is empty"),
        (set_supervision(text=None), "transcript is empty"),
        (set_supervision(speaker=None), "no speaker"),
        (two_supervisions, "found 2; `lhotse cut trim-to-supervisions --discard-overlapping IN OUT`"),
        (set_supervision(start=-3.0, duration=100.0), "0 to 0.1 s, found -3 to 97 s; `lhotse cut trim-to-supervisions"),
        (set_supervision(duration=0.36), "found 0 to 0.36 s"),
        (set_supervision(start=-0.26, duration=0.36), "found -0.26 to 0.1 s"),
        (set_supervision(start=0.1, duration=0.0), "found 0.1 to 0.1 s"),
        (lambda cut: setattr(cut, "start", -1.0), "expected a start of 0 or later"),
        (missing_audio, "no such audio file"),
        (lambda cut: setattr(cut, "duration", 0.0), "duration above 0"),
        (lambda cut: setattr(cut, "channel", 1), "expected channel 1"),
        (lambda cut: setattr(cut, "id", "train-0"), "second cut of the same id"),
    ],
)
def test_what_is_unusable_is_left_out_or_stops(tmp_path: Path, change: Callable[[MonoCut], None], why: str) -> None:
    config, splits = corpus(tmp_path, SIZES)
    change(splits["train"][1])
    write_cuts(tmp_path / "train.jsonl.gz", splits["train"])
    with pytest.raises(UserError, match=r"train.jsonl.gz: 1 of 4 utterances.*data.max_left_out=0.01") as error:
        prepare_data(tmp_path / "exp", config)
    assert why in str(error.value)
    config.data.max_left_out = 0.25
    prepare_data(tmp_path / "exp", config)
    (item,) = read_jsonl(tmp_path / "exp" / "data" / "left_out.jsonl")
    assert why in item["why"]
    assert len(read_cuts(tmp_path / "exp" / "data" / "train.jsonl.gz")) == 3


def test_a_supervision_may_miss_the_ends_of_its_cut_by_a_pause() -> None:
    def why(start: float, duration: float) -> str | None:
        cut = make_cut("a", Path(__file__), 16000, 16000 * 10, "s", "A")
        cut.supervisions[0].start, cut.supervisions[0].duration = start, duration
        return problem(cut, 16000)

    assert why(0, 10) is why(-0.01, 10.02) is why(0.25, 9.5) is None
    for start, duration in ((1.0, 0.5), (0.3, 9.7), (0, 9.7), (0, 10.3), (-0.3, 10.3)):
        assert "trim-to-supervisions" in (why(start, duration) or "")


def test_a_transcript_of_another_channel_stops(tmp_path: Path) -> None:
    config, splits = corpus(tmp_path, SIZES)
    config.data.max_left_out = 1.0  # it stops all the same
    for channel in (1, [1, 2]):
        splits["dev"][1].supervisions[0].channel = channel
        write_cuts(tmp_path / "dev.jsonl.gz", splits["dev"])
        with pytest.raises(
            UserError, match=f"cut dev-1: .*the cut's channel 0, found one of channel {re.escape(str(channel))};"
        ):
            prepare_data(tmp_path / "exp", config)
    splits["dev"][1].supervisions[0].channel = [1, 0]  # two microphones, this one and another
    write_cuts(tmp_path / "dev.jsonl.gz", splits["dev"])
    prepare_data(tmp_path / "exp", config)
    assert len(read_cuts(tmp_path / "exp" / "data" / "dev.jsonl.gz")) == 2


def test_channels_against_what_lhotse_cuts_from_a_recording_of_two(tmp_path: Path) -> None:
    # A speaker a channel: Lhotse makes a cut a channel, each with the supervisions that are of it.
    soundfile.write(tmp_path / "two.wav", np.zeros((1600, 2)), 16000)
    recording = Recording.from_file(tmp_path / "two.wav", recording_id="two")
    said = [SupervisionSegment(f"s{c}", "two", 0.0, 0.1, channel=c, text=f"A{c}", speaker=f"s{c}") for c in (0, 1)]
    (multi,) = CutSet.from_manifests(RecordingSet.from_recordings([recording]), SupervisionSet.from_segments(said))
    cuts = multi.to_mono()
    good, left_out = validate(CutSet.from_cuts(cuts), 16000)
    assert [(cut.channel, cut.supervisions[0].text) for cut in good] == [(0, "A0"), (1, "A1")] and left_out == []
    good[0].supervisions, good[1].supervisions = good[1].supervisions, good[0].supervisions
    with pytest.raises(UserError, match="expected a supervision of the cut's channel 0, found one of channel 1"):
        validate(CutSet.from_cuts(good), 16000)


def test_the_first_few_are_named(tmp_path: Path) -> None:
    config, splits = corpus(tmp_path, {**SIZES, "train": 9})
    for cut in splits["train"][:7]:
        missing_audio(cut)
    with pytest.raises(UserError, match="train-0: .*train-4: .*; and 2 more"):
        prepare_data(tmp_path / "exp", config)


def test_splits_that_share_an_utterance(tmp_path: Path) -> None:
    config, splits = corpus(tmp_path, SIZES)
    write_cuts(tmp_path / "test.jsonl.gz", [*splits["test"], splits["train"][2]])
    with pytest.raises(UserError, match="1 utterances stand in .*train.jsonl.gz as well, for example train-2"):
        prepare_data(tmp_path / "exp", config)


def test_no_cut_set_named(tmp_path: Path) -> None:
    config, _ = corpus(tmp_path, SIZES)
    config.data.dev = ""
    with pytest.raises(UserError, match="data.dev is empty"):
        prepare_data(tmp_path / "exp", config)
    config.data.dev = str(tmp_path / "nowhere.jsonl.gz")
    with pytest.raises(UserError, match="nowhere.jsonl.gz: no such cut set; data.dev"):
        prepare_data(tmp_path / "exp", config)


def test_relative_audio_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, splits = corpus(tmp_path, SIZES)
    splits["dev"][0].recording.sources[0].source = "dev-0.wav"
    write_cuts(tmp_path / "dev.jsonl.gz", splits["dev"])
    monkeypatch.chdir(tmp_path)
    prepare_data(tmp_path / "exp", config)
    source = read_cuts(tmp_path / "exp" / "data" / "dev.jsonl.gz")[0].recording.sources[0].source
    assert source == str(tmp_path / "dev-0.wav")
