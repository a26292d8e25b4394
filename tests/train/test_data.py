"""Batches against a plain loop over frames."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import write_npy
from asrkd.train.data import FrameData, _labelled_runs


def test_batch_against_a_plain_loop(exp: Path, config: Config) -> None:
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    store = FrameStore.open(exp / "features" / "train")
    labels = np.load(exp / "align" / "train" / "labels.npy")
    positions = data.positions(torch.arange(len(data)))
    assert positions.tolist() == [i for i in range(len(labels)) if labels[i] != 65535]
    inputs, found = data.batch(positions)
    assert found.tolist() == labels[labels != 65535].tolist()
    expected = []
    for u, count in enumerate(store.counts):
        own = store.utterance(store.ids[u])
        for t in range(count):
            if labels[store.first[u] + t] != 65535:
                window = [own[min(max(t + offset, 0), count - 1)] for offset in (-2, -1, 0, 1)]
                expected.append(np.concatenate(window))
    assert np.array_equal(inputs.numpy(), np.array(expected))


def test_subset_of_the_utterances(exp: Path, config: Config) -> None:
    wanted = ["train-1", "train-3", "train-5"]
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, wanted)
    found = [data.ids[u] for u in data.utterance_of(data.positions(torch.arange(len(data)))).tolist()]
    assert set(found) == {"train-1", "train-5"}  # train-3 has no labels
    assert [data.ids[u] for u in data.utterances()] == ["train-1", "train-5"]
    assert len(data) == len(found) == sum(data.frames_of(u) for u in data.utterances())
    with pytest.raises(UserError, match="no frame has a label"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, ["train-3"])


@given(data=st.data(), counts=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_runs_against_a_plain_loop(data: st.DataObject, counts: list[int]) -> None:
    pdfs = data.draw(st.lists(st.sampled_from([7, 8, 65535]), min_size=sum(counts), max_size=sum(counts)))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))
    usable = data.draw(st.sampled_from([[7, 8], [8]]))
    wanted = np.isin(np.arange(65536), usable)
    with mock.patch("asrkd.train.data.BLOCK", 10):
        runs, lengths = _labelled_runs(np.array(pdfs, dtype=np.uint16), np.array(counts), np.array(chosen), wanted)
    found = [position for begin, length in zip(runs, lengths, strict=True) for position in range(begin, begin + length)]
    owner = [u for u, count in enumerate(counts) for _ in range(count)]
    assert found == [i for i, u in enumerate(owner) if pdfs[i] in usable and chosen[u]]


def test_labels_that_do_not_fit_are_refused(exp: Path, config: Config) -> None:
    path = exp / "align" / "train" / "labels.npy"
    write_npy(path, np.load(path)[:-1])
    with pytest.raises(UserError, match=r"expected uint16 labels of the \d+ frames"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
