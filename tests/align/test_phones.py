from pathlib import Path

import numpy as np
import pytest

from asrkd.align.phones import phone_of_pdfs
from asrkd.align.topology import monophone_pdfs
from asrkd.errors import UserError
from asrkd.files import write_npy


def test_phones_of_pdfs(tmp_path: Path) -> None:
    write_npy(tmp_path / "pdfs.npy", monophone_pdfs(4))
    assert phone_of_pdfs(tmp_path / "pdfs.npy").tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    tied = np.zeros((2, 2, 3), dtype=np.int32)
    tied[:, 1] = [[1, 1, 2], [3, 1, 2]]  # the first state of phone 1 depends on its left; two states share a pdf
    write_npy(tmp_path / "pdfs.npy", tied)
    assert phone_of_pdfs(tmp_path / "pdfs.npy").tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("pdfs", "message"),
    [
        (np.zeros((2, 2, 3), dtype=np.int32), "found pdf 0 of several"),
        (np.full((1, 1, 3), 1, dtype=np.int32), "found pdf 0 of none"),
        (np.zeros((2, 3, 3), dtype=np.int32), r"found int32 \(2, 3, 3\)"),
        (np.zeros((2, 2, 3)), "found float64"),
        (np.full((1, 1, 3), -1, dtype=np.int32), "found int32"),
    ],
)
def test_tables_that_are_none(pdfs: np.ndarray, message: str, tmp_path: Path) -> None:
    write_npy(tmp_path / "pdfs.npy", pdfs)
    with pytest.raises(UserError, match=message):
        phone_of_pdfs(tmp_path / "pdfs.npy")


def test_no_table_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage 3 makes it"):
        phone_of_pdfs(tmp_path / "pdfs.npy")
    (tmp_path / "pdfs.npy").write_bytes(b"none")
    with pytest.raises(UserError, match="expected a table of pdfs"):
        phone_of_pdfs(tmp_path / "pdfs.npy")
