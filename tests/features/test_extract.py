import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import MonoCut

from asrkd.config import Config, FeatureConfig, RunConfig
from asrkd.corpus.cuts import make_cut, write_cuts
from asrkd.errors import UserError
from asrkd.features import shards, split
from asrkd.features.extract import extract_features, extract_split
from asrkd.features.fbank import fbank
from asrkd.features.store import FrameStore
from asrkd.files import read_json, read_jsonl

FEATURES = FeatureConfig(sample_rate=8000, num_mel_bins=20)
COUNT = 10


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SECONDS", 0.5)


def make_cuts(folder: Path, suffix: str = ".flac", count: int = COUNT) -> list[MonoCut]:
    rng = np.random.default_rng(0)
    cuts = []
    for n in range(count):
        samples = 0.1 * rng.normal(size=2000 + 100 * n)
        audio = folder / f"u{n}{suffix}"
        soundfile.write(audio, samples, 8000)
        cuts.append(make_cut(f"u{n}", audio, 8000, len(samples), f"speaker{n % 3}", "A"))
    write_cuts(folder / "cuts.jsonl.gz", cuts)
    return cuts


def run(folder: Path, out: str, jobs: int = 1, max_left_out: float = 0.01, features: FeatureConfig = FEATURES) -> Path:
    extract_split(
        folder / "cuts.jsonl.gz", folder / out, features, RunConfig(jobs=jobs), max_left_out, {"cuts": "their hash"}
    )
    return folder / out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stamp.json"}


@pytest.mark.usefixtures("small_shards")
def test_frames_are_those_of_fbank_normalised_per_speaker(tmp_path: Path) -> None:
    cuts = make_cuts(tmp_path)
    store = FrameStore.open(run(tmp_path, "out"))
    assert store.ids == [cut.id for cut in cuts]
    assert store.speakers == [cut.supervisions[0].speaker for cut in cuts]
    assert store.frames.dtype == np.float16
    for speaker in ("speaker0", "speaker1", "speaker2"):
        own = [cut for cut in cuts if cut.supervisions[0].speaker == speaker]
        raw = [fbank(torch.from_numpy(cut.load_audio()[0]), FEATURES).numpy().astype(np.float64) for cut in own]
        together = np.concatenate(raw)
        for cut, frames in zip(own, raw, strict=True):
            expected = (frames - together.mean(axis=0)) / together.std(axis=0)
            np.testing.assert_allclose(store.utterance(cut.id), expected, atol=5e-3)
    card = read_json(tmp_path / "out" / "card.json")
    assert card["features"]["num_mel_bins"] == 20
    assert card["frames"] == len(store.frames)
    assert not (tmp_path / "out" / "shards").exists()


def test_the_number_of_jobs_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cuts(tmp_path)
    monkeypatch.setattr(shards, "SECONDS", 0.5)
    assert content(run(tmp_path, "one", jobs=1)) == content(run(tmp_path, "two", jobs=2))
    # Neither does the size of a shard change a frame by more than the rounding of its speaker's sums.
    monkeypatch.setattr(shards, "SECONDS", 600.0)
    lone = FrameStore.open(run(tmp_path, "lone", jobs=2))
    np.testing.assert_allclose(lone.frames, FrameStore.open(tmp_path / "one").frames, atol=2e-3)


@pytest.mark.usefixtures("small_shards")
def test_a_killed_extraction_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cuts(tmp_path)
    whole = content(run(tmp_path, "whole"))
    done: list[str] = []
    plain = shards.extract_shard

    def dies_on_the_third(shard: shards.Shard, features: FeatureConfig) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        plain(shard, features)
        done.append(shard.path.name)

    monkeypatch.setattr(split, "extract_shard", dies_on_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "killed")
    again: list[str] = []

    def counted(shard: shards.Shard, features: FeatureConfig) -> None:
        again.append(shard.path.name)
        plain(shard, features)

    monkeypatch.setattr(split, "extract_shard", counted)
    assert content(run(tmp_path, "killed")) == whole
    assert len(done) == 2
    assert again and not set(done) & set(again)
    # Killed while the store was being written: every shard is there, and nothing is extracted again.
    monkeypatch.setattr(split, "write_store", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "late")
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SECONDS", 0.5)
    again.clear()
    monkeypatch.setattr(split, "extract_shard", counted)
    assert content(run(tmp_path, "late")) == whole
    assert again == []


@pytest.mark.usefixtures("small_shards")
def test_a_finished_split_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_cuts(tmp_path)
    run(tmp_path, "out")
    shutil.copy(tmp_path / "out" / "frames.npy", tmp_path / "before.npy")
    run(tmp_path, "out")
    assert "finished, skipped" in capsys.readouterr().out
    run(tmp_path, "out", features=FeatureConfig(sample_rate=8000, num_mel_bins=20, cmvn_variance=False))
    assert "features.cmvn_variance was True, is False" in capsys.readouterr().out
    assert (tmp_path / "before.npy").read_bytes() != (tmp_path / "out" / "frames.npy").read_bytes()


def flac_damaged(path: Path, cut: MonoCut) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 4) + whole[3 * len(whole) // 4 :])


def flac_cut_short(path: Path, cut: MonoCut) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_audio(path: Path, cut: MonoCut) -> None:
    path.write_bytes(b"this is text")


def empty(path: Path, cut: MonoCut) -> None:
    path.write_bytes(b"")


def gone(path: Path, cut: MonoCut) -> None:
    path.unlink()


def wrong_rate(path: Path, cut: MonoCut) -> None:
    soundfile.write(path, np.zeros(cut.num_samples), 16000)


def too_short(path: Path, cut: MonoCut) -> None:
    soundfile.write(path, np.zeros(150), 8000)
    cut.recording.num_samples, cut.recording.duration, cut.duration = 150, 150 / 8000, 150 / 8000


def not_numbers(path: Path, cut: MonoCut) -> None:
    samples = np.zeros(cut.num_samples)
    samples[7] = np.nan
    soundfile.write(path, samples, 8000, format="WAV", subtype="FLOAT")


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (flac_damaged, "expected 2400 samples at 8000 Hz, found"),
        (flac_cut_short, "expected 2400 samples at 8000 Hz, found"),
        (no_audio, "expected 2400 samples at 8000 Hz, found"),
        (empty, "expected 2400 samples at 8000 Hz, found"),
        (gone, "expected 2400 samples at 8000 Hz, found no such file"),
        (wrong_rate, "found 16000 Hz"),
        (too_short, "expected at least one frame of 25 ms, found 150 samples"),
        (not_numbers, "found values that are no numbers"),
    ],
)
def test_a_bad_file_is_named_and_left_out(tmp_path: Path, harm: Any, found: str) -> None:
    cuts = make_cuts(tmp_path)
    audio = tmp_path / "u4.flac"
    sound = audio.read_bytes()
    harm(audio, cuts[4])
    write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
    with pytest.raises(UserError, match="1 of 10 utterances.*data.max_left_out=0.01 allows: u4: .*u4.flac") as error:
        run(tmp_path, "out")
    assert found in str(error.value)
    kept = sorted(path.name for path in (tmp_path / "out" / "shards").glob("*.json"))
    assert len(kept) >= 3  # all but the shard with the bad file

    store = FrameStore.open(run(tmp_path, "out", max_left_out=0.1))
    assert store.ids == [cut.id for cut in cuts if cut.id != "u4"]
    (item,) = read_jsonl(tmp_path / "out" / "left_out.jsonl")
    assert item["id"] == "u4" and found in item["why"]

    if harm is not too_short:
        # A file that is mended between two calls is tried again.
        with pytest.raises(UserError):
            run(tmp_path, "mended")
        audio.write_bytes(sound)
        assert "u4" in FrameStore.open(run(tmp_path, "mended")).ids


def test_a_part_of_a_channel_of_a_longer_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stereo = 0.1 * rng.normal(size=(8000, 2))
    soundfile.write(tmp_path / "long.wav", stereo, 8000, subtype="FLOAT")
    cut = make_cut("part", tmp_path / "long.wav", 8000, 8000, "s", "A")
    cut.recording.sources[0].channels = [0, 1]
    cut.recording.channel_ids = [0, 1]
    cut.channel = cut.supervisions[0].channel = 1
    cut.start, cut.duration = 0.25, 0.5
    write_cuts(tmp_path / "cuts.jsonl.gz", [cut])
    features = FeatureConfig(sample_rate=8000, num_mel_bins=20, cmvn_variance=False, dtype="float32")
    store = FrameStore.open(run(tmp_path, "out", features=features))
    expected = fbank(torch.from_numpy(stereo[2000:6000, 1].astype(np.float32)), features).numpy()
    np.testing.assert_allclose(store.utterance("part"), expected - expected.mean(axis=0), atol=1e-3)


def test_the_stage_needs_stage_0(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage 0"):
        extract_features(tmp_path / "exp", Config())
