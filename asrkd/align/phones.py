"""Which phone each pdf is of."""

from pathlib import Path
from typing import Any

import numpy as np

from asrkd.errors import UserError

Array = np.ndarray[Any, np.dtype[np.int64]]


def phone_of_pdfs(path: Path) -> Array:
    """(C,) the phone whose states each pdf stands for, from stage 3's pdfs.npy, (P, P, 3) by left phone, phone, state.

    A pdf may be that of several states and left phones; raises UserError when it is that of two phones or of none, or
    when the file is missing or no such table.
    """
    mend = "run stage 3 again (run.sh --stage 3 --force)"
    try:
        pdfs = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; stage 3 makes it (run.sh --stage 3)") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: expected a table of pdfs, found {error}; {mend}") from None
    square = pdfs.ndim == 3 and pdfs.shape[0] == pdfs.shape[1]
    if not square or not pdfs.size or pdfs.dtype.kind not in "iu" or pdfs.min() < 0:
        raise UserError(f"{path}: expected pdfs (phones, phones, states), found {pdfs.dtype} {pdfs.shape}; {mend}")
    phones = np.broadcast_to(np.arange(len(pdfs), dtype=np.int64)[None, :, None], pdfs.shape)
    table = np.full(int(pdfs.max()) + 1, -1, dtype=np.int64)
    table[pdfs] = phones
    shared, unused = pdfs[table[pdfs] != phones], np.flatnonzero(table < 0)
    if len(shared) or len(unused):
        which, found = (shared[0], "several") if len(shared) else (unused[0], "none")
        raise UserError(f"{path}: expected each pdf to be of one phone, found pdf {which} of {found}; {mend}")
    return table
