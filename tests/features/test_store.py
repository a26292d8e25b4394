import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.errors import UserError
from asrkd.features.store import FRAMES, UTTERANCES, FrameStore, write_store

counts_lists = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def utterances(counts: list[int], num_mel: int, seed: int = 0) -> list[tuple[str, str, np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(seed)
    return [(f"u{i}", f"s{i % 3}", rng.normal(size=(n, num_mel)).astype(np.float16)) for i, n in enumerate(counts)]


@settings(max_examples=40, deadline=None)
@given(counts=counts_lists, num_mel=st.integers(1, 9), dtype=st.sampled_from(["float16", "float32"]))
def test_what_is_written_is_read(counts: list[int], num_mel: int, dtype: str) -> None:
    given_utterances = utterances(counts, num_mel)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert write_store(folder, iter(given_utterances), num_mel=num_mel, dtype=dtype) == sum(counts)
        store = FrameStore.open(folder)
        assert len(store) == len(counts)
        assert store.frames.dtype == dtype
        for utterance, speaker, frames in given_utterances:
            np.testing.assert_array_equal(store.utterance(utterance), frames)
            assert store.speakers[store.index[utterance]] == speaker
        np.testing.assert_array_equal(store.frames, np.concatenate([frames for _, _, frames in given_utterances]))
        # The file is an ordinary .npy for everybody else.
        assert np.load(folder / FRAMES).shape == (sum(counts), num_mel)


@pytest.mark.parametrize("keep", [0, 10, 64, 128, -1])
def test_truncated_frames_are_refused(tmp_path: Path, keep: int) -> None:
    write_store(tmp_path, utterances([3, 4], 5), num_mel=5, dtype="float16")
    whole = (tmp_path / FRAMES).read_bytes()
    (tmp_path / FRAMES).write_bytes(whole[:keep])
    with pytest.raises(UserError, match="frames.npy"):
        FrameStore.open(tmp_path)


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_store(tmp_path, utterances([3, 4], 5), num_mel=5, dtype="float16")
    rows = [json.loads(line) for line in (tmp_path / UTTERANCES).read_text().splitlines()]

    def refused(changed: list[dict[str, Any]], match: str) -> None:
        (tmp_path / UTTERANCES).write_text("".join(json.dumps(row) + "\n" for row in changed))
        with pytest.raises(UserError, match=match):
            FrameStore.open(tmp_path)

    refused(rows[:1], "found 7 frames")
    refused([rows[0], {**rows[1], "first": 2}], "without gaps")
    refused([rows[0], {**rows[1], "id": "u0"}], "listed twice")
    refused([rows[0], {"id": "u1"}], "a row lacks")
    (tmp_path / UTTERANCES).write_text("{")
    with pytest.raises(UserError, match="line 1"):
        FrameStore.open(tmp_path)


def test_a_failed_write_leaves_the_older_store(tmp_path: Path) -> None:
    write_store(tmp_path, utterances([3, 4], 5), num_mel=5, dtype="float16")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = [*utterances([2], 5), ("empty", "s", np.zeros((0, 5), dtype=np.float16))]
    with pytest.raises(ValueError, match="empty"):
        write_store(tmp_path, broken, num_mel=5, dtype="float16")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        FrameStore.open(tmp_path)
