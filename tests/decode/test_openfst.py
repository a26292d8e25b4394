"""Our binary form against OpenFst's own reader and its text form."""

from pathlib import Path

import kaldifst
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrkd.decode.arpa import FINAL
from asrkd.decode.openfst import read_const_fst, write_const_fst
from asrkd.decode.topology import Transducer
from asrkd.errors import UserError


@st.composite
def transducers(draw: st.DrawFn) -> Transducer:
    """Of some states, the last of them final, with an arc or more."""
    states = draw(st.integers(1, 5))
    state, label, score = st.integers(0, states - 1), st.integers(0, 3), st.integers(-20, 20)
    row = st.tuples(state, state, label, label, score)
    inner = draw(st.lists(row, max_size=12))
    ends = draw(st.lists(st.integers(0, states - 1), min_size=1, max_size=states, unique=True))
    rows = [*inner, *((end, states, FINAL, FINAL, draw(score)) for end in ends)]
    columns = list(zip(*rows, strict=True))
    source, target, input_, output = (np.array(column, dtype=np.int32) for column in columns[:4])
    return Transducer(source, target, input_, output, np.array(columns[4], dtype=np.float32) / 8)


def as_text(fst: Transducer) -> list[str]:
    """Sorted lines as OpenFst prints them: `source target input output cost`, `state cost` for a final one."""
    lines = []
    for source, target, label, output, score in zip(*(column.tolist() for column in fst), strict=True):
        fields = [source] if label == FINAL else [source, target, label, output]
        lines.append(" ".join(map(str, [*fields, *([f"{-score:g}"] if score else [])])))
    return sorted(lines)


@given(transducers())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_openfst_reads_what_is_written_and_we_what_it_writes(tmp_path: Path, fst: Transducer) -> None:
    write_const_fst(tmp_path / "ours", fst)
    read = kaldifst.StdConstFst.read(str(tmp_path / "ours"))
    lines = [" ".join(line.split()) for line in read.to_str(show_weight_one=False).splitlines()]
    assert sorted(line for line in lines if "Infinity" not in line) == as_text(fst)  # which a state without arcs has
    kaldifst.StdConstFst(kaldifst.StdVectorFst(read)).write(str(tmp_path / "theirs"))
    again = read_const_fst(tmp_path / "theirs")
    assert as_text(again) == as_text(fst)
    assert (np.diff(again.src) >= 0).all()


def test_another_file_is_refused(tmp_path: Path) -> None:
    vector = kaldifst.StdVectorFst()
    vector.start = vector.add_state()
    vector.write(str(tmp_path / "vector"))
    with pytest.raises(UserError, match="expected a ConstFst"):
        read_const_fst(tmp_path / "vector")
