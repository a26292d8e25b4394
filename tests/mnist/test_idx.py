"""IDX files by their bytes, and what is wrong with others."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from asrkd.errors import UserError
from asrkd.mnist.digits import corpus_hash, load_corpus, save_corpus
from asrkd.mnist.idx import read_folder, read_idx

BYTES = bytes.fromhex("00000803 00000002 00000001 00000003 010203 fffe00")


def test_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "array"
    path.write_bytes(BYTES)
    assert read_idx(path).tolist() == [[[1, 2, 3]], [[255, 254, 0]]]
    packed = tmp_path / "array.gz"
    packed.write_bytes(gzip.compress(BYTES))
    assert np.array_equal(read_idx(packed), read_idx(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BYTES[:-1], r"expected 22 bytes for \(2, 1, 3\), found 21"),
        (BYTES + b"x", "found 23"),
        (BYTES[:9], "begins with 00000803"),
        (b"", "expected an IDX file of unsigned bytes"),
        (b"\x00\x00\x0d\x01" + BYTES[4:], "begins with 00000d01"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "array"
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"array: .*{message}"):
        read_idx(path)


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "array.gz"
    for data in (gzip.compress(BYTES)[:-9], BYTES):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"array\.gz: damaged"):
            read_idx(path)


def test_a_folder_and_what_it_lacks(data_dir: Path, tmp_path: Path) -> None:
    corpus = read_folder(data_dir)
    save_corpus(tmp_path / "one" / "mnist.npz", corpus)
    save_corpus(tmp_path / "two" / "mnist.npz", corpus)
    one, two = ((tmp_path / name / "mnist.npz").read_bytes() for name in ("one", "two"))
    assert one == two
    loaded = load_corpus(tmp_path / "one" / "mnist.npz")
    assert np.array_equal(loaded.test.images, corpus.test.images)
    assert np.array_equal(loaded.train.labels, corpus.train.labels)

    folder = tmp_path / "folder"
    shutil.copytree(data_dir, folder)
    shutil.copy(folder / "train-labels-idx1-ubyte", folder / "t10k-labels-idx1-ubyte")
    with pytest.raises(UserError, match=r"expected square images .* found \(200, 8, 8\), \(600,\)"):
        read_folder(folder)
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="expected MNIST's train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz"):
        read_folder(folder)


def test_a_damaged_corpus_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; stage 0 makes it"):
        corpus_hash(tmp_path / "mnist.npz")
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"mnist\.npz: damaged .*delete it and run stage 0 again"):
        load_corpus(tmp_path / "mnist.npz")
