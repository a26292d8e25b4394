"""Batches against a plain loop over frames."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.experiment import write_npy
from asrkd.features.store import FrameStore
from asrkd.train.data import FrameData


def test_batch_against_a_plain_loop(exp: Path, config: Config) -> None:
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    store = FrameStore.open(exp / "features" / "train")
    labels = np.load(exp / "align" / "train" / "labels.npy")
    assert data.usable.tolist() == [i for i in range(len(labels)) if labels[i] != 65535]
    inputs, found = data.batch(data.usable)
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
    found = {data.ids[u] for u in data.utterance_of(data.usable).tolist()}
    assert found == {"train-1", "train-5"}  # train-3 has no labels
    with pytest.raises(UserError, match="no frame has a label"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model, ["train-3"])


def test_labels_that_do_not_fit_are_refused(exp: Path, config: Config) -> None:
    path = exp / "align" / "train" / "labels.npy"
    write_npy(path, np.load(path)[:-1])
    with pytest.raises(UserError, match=r"expected uint16 labels of the \d+ frames"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
