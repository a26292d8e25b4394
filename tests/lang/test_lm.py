import gzip
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkd.errors import UserError
from asrkd.lang.lm import arpa_words, check_arpa, estimate_lm, write_binary
from tests.lang.conftest import ARPA


def test_sound_arpa(arpa: Path) -> None:
    assert check_arpa(arpa) == {1: 5, 2: 3}
    assert arpa_words(arpa) == ["A", "B"]


@pytest.mark.parametrize(
    ("change", "line", "found"),
    [
        (lambda text: "once upon a time\nthere was\n", 1, "found once upon a time"),
        (lambda text: "", 1, "found an empty file"),
        (lambda text: text[: text.index("-0.5\tA B")], 13, "2-gram 2 of 3: log10 probability and words, found the end"),
        (lambda text: text.replace("\\end\\\n", ""), 15, r"expected \\end\\, found the end of the file"),
        (lambda text: text.replace("ngram 2=3", "ngram 2=4"), 17, "2-gram 4 of 4"),
        (lambda text: text.replace("ngram 2=3", "ngram 2=2"), 15, r"expected \\end\\, found -0.375"),
        (lambda text: text.replace("ngram 2=3", "ngram 3=3"), 3, "expected ngram 2=COUNT, found ngram 3=3"),
        (lambda text: text.replace("ngram 2=3\n", ""), 4, "found 1 orders"),
        (lambda text: text.replace("\\2-grams:", "\\3-grams:"), 12, r"expected \\2-grams:, found \\3-grams:"),
        (lambda text: text.replace("-0.5\tA B", "-0.5\tA"), 14, "found -0.5\tA"),
        (lambda text: text.replace("-0.5\tA B", "A B -0.5"), 14, "found A B -0.5"),
        (lambda text: text.replace("-0.5\tA B", "0.5\tA B"), 14, "found 0.5\tA B"),
        (lambda text: text.replace("-0.5\tA B", "nan\tA B"), 14, "found nan\tA B"),
        (lambda text: text.replace("\t</s>", "\tC"), 17, "none of </s>"),
    ],
)
def test_what_is_no_arpa_is_named_with_its_line(
    tmp_path: Path, change: Callable[[str], str], line: int, found: str
) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(change(ARPA))
    with pytest.raises(
        UserError, match=rf"lm\.arpa, line {line}: not a whole ARPA model \(--lm, lang.rescore_lm\): .*{found}"
    ):
        check_arpa(path)


def test_gzip_and_missing_arpa(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(ARPA.encode()))
    assert check_arpa(tmp_path / "lm.arpa.gz") == {1: 5, 2: 3}
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(ARPA.encode())[:-9])
    with pytest.raises(UserError, match="expected a whole gzip file"):
        check_arpa(tmp_path / "lm.arpa.gz")
    with pytest.raises(UserError, match="found none"):
        check_arpa(tmp_path / "lm.arpa")


TEXT = ["A B A", "B A C", "<s> A X B <unk> A </s>", "C A B", "B B X A", "A C B A"]
WORDS = ["A", "B", "C", "D"]


def test_estimated_model_is_a_distribution_over_the_vocabulary(tmp_path: Path, needs_lmplz: None) -> None:
    import kenlm

    arpa = tmp_path / "lm.arpa"
    fallback = estimate_lm(TEXT, WORDS, arpa, order=3, prune=[0, 0, 0], unseen=["D"])
    assert fallback  # six sentences have no n-gram of each of the counts 1 to 4, of which discounts are made
    assert check_arpa(arpa)[1] == len(WORDS) + 3
    assert sorted(arpa_words(arpa)) == WORDS
    assert [path.name for path in tmp_path.iterdir()] == ["lm.arpa"]
    model = kenlm.Model(str(arpa))
    for history in ("", "A", "B", "D", "A B", "X", "X A", "C A"):
        start, state = kenlm.State(), kenlm.State()
        model.BeginSentenceWrite(state)
        for word in history.split():
            start, state = state, start
            model.BaseScore(start, word, state)
        total = sum(10 ** model.BaseScore(state, word, kenlm.State()) for word in [*WORDS, "</s>", "X"])
        assert math.isclose(total, 1, abs_tol=1e-5)


def test_large_text_has_its_own_discounts_and_the_same_bytes_again(tmp_path: Path, needs_lmplz: None) -> None:
    import random

    draw = random.Random(1)
    words = [f"W{number}" for number in range(1000)]
    weights = [1 / (rank + 1) for rank in range(1000)]  # after Zipf, so that there are n-grams of every count
    text = [" ".join(draw.choices(words, weights, k=6)) for _ in range(3000)]
    for name, prune in (("one", [0, 0, 1]), ("two", [0, 0, 1]), ("whole", [0])):
        assert not estimate_lm(text, words[:900], tmp_path / name, order=3, prune=prune, unseen=[])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert check_arpa(tmp_path / "one")[3] < check_arpa(tmp_path / "whole")[3]


def test_lmplz_ends_with_its_caller(tmp_path: Path) -> None:
    program, started = tmp_path / "lmplz", tmp_path / "started"
    program.write_text(f"#!/bin/sh\necho $$ > {started}.part\nmv {started}.part {started}\nexec sleep 60\n")
    program.chmod(0o755)
    code = f"from asrkd.lang.lm import _run; _run([{str(program)!r}])"
    caller = subprocess.Popen([sys.executable, "-c", code])
    lmplz = 0
    try:
        wait_until(started.is_file)
        lmplz = int(started.read_text())
        caller.kill()
        caller.wait()
        wait_until(lambda: not running(lmplz))
    finally:
        caller.kill()
        if lmplz and running(lmplz):
            os.kill(lmplz, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def running(process: int) -> bool:
    """Not gone, and not waiting to be reaped either."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_lmplz_failure_is_told(tmp_path: Path, needs_lmplz: None) -> None:
    with pytest.raises(UserError, match="a model of order 9: expected 2 to 6.*lang.lm_order"):
        estimate_lm(TEXT, WORDS, tmp_path / "lm.arpa", order=9, prune=[], unseen=[])
    with pytest.raises(UserError, match="lmplz failed: .*prun"):
        estimate_lm(TEXT, WORDS, tmp_path / "lm.arpa", order=3, prune=[2, 1, 0], unseen=[])
    assert not list(tmp_path.iterdir())


def test_binary_form_has_the_same_numbers(tmp_path: Path, needs_lmplz: None) -> None:
    import kenlm

    arpa = tmp_path / "lm.arpa"
    estimate_lm(TEXT, WORDS, arpa, order=4, prune=[], unseen=["D"])
    write_binary(arpa, tmp_path / "lm.bin")
    assert {path.name for path in tmp_path.iterdir()} == {"lm.arpa", "lm.bin"}
    model, binary = kenlm.Model(str(arpa)), kenlm.Model(str(tmp_path / "lm.bin"))
    assert binary.order == 4
    for sentence in [*TEXT, "", "D D", "A B A C"]:
        assert model.score(sentence) == binary.score(sentence)


def test_binary_form_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs_lmplz: None) -> None:
    (tmp_path / "lm.arpa").write_text("no model\n")
    with pytest.raises(UserError, match="build_binary failed: .*the command was"):
        write_binary(tmp_path / "lm.arpa", tmp_path / "lm.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["lm.arpa"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lmplz").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "lmplz").chmod(0o755)
    monkeypatch.setenv("ASRKD_LMPLZ", str(tmp_path / "bin" / "lmplz"))
    with pytest.raises(UserError, match="bin/build_binary: expected KenLM's build_binary beside lmplz, found none"):
        write_binary(tmp_path / "lm.arpa", tmp_path / "lm.bin")
