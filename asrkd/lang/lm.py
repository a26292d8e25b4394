"""N-gram models: estimation with KenLM's lmplz, a check of ARPA files, KenLM's binary form."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from asrkd.errors import UserError
from asrkd.files import replacing
from asrkd.lang.lexicon import UNKNOWN
from asrkd.lang.text import numbered_lines
from asrkd.progress import track

ORDERS = range(2, 7)  # that KenLM, as it is built by default, can read
# Asks the kernel to kill what this process becomes when its caller ends, then becomes the program. A preexec_fn would
# do the same between fork and exec, where a thread of the caller may hold a lock; asrkd.orphans needs a Python to live.
_ENDS_WITH_CALLER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
if os.getppid() != int(sys.argv[1]):
    sys.exit("its caller is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
MEMORY = "1G"  # lmplz would otherwise take 80 % of the machine's; what does not fit is sorted on disk


def estimate_lm(
    sentences: Iterable[str],
    vocabulary: Iterable[str],
    arpa: Path,
    *,
    order: int,
    prune: list[int],
    unseen: Iterable[str],
) -> bool:
    """Write a modified Kneser-Ney model (Chen and Goodman 1998; Heafield et al. 2013) of `sentences` to `arpa`.

    Words outside `vocabulary` stay in the text as breaks and get the mass of <unk>. `unseen` are words of the
    vocabulary that the text lacks: each is added to the text once, as a sentence of one word, since lmplz knows no
    word that it has not counted. Returns whether the text was too small for Kneser-Ney discounts, so that lmplz's
    fixed ones (0.5, 1, 1.5) were used. Raises UserError when lmplz fails.
    """
    from asrkd.tools import lmplz

    if order not in ORDERS:
        raise UserError(
            f"a model of order {order}: expected {ORDERS[0]} to {ORDERS[-1]}, the orders that KenLM is built for "
            "(lang.lm_order, lang.rescore_order)"
        )
    command = [str(lmplz()), "--order", str(order), "--memory", MEMORY]
    if any(prune):
        command += ["--prune", *map(str, prune)]
    counted = chain(map(_plain, sentences), unseen)
    with (
        replacing(arpa) as model,
        _file_of(counted, arpa.with_name("text.tmp")) as text,
        _file_of(vocabulary, arpa.with_name("words.tmp")) as words,
        _scratch(arpa.with_name("lmplz.tmp")) as scratch,
    ):
        command += ["--limit_vocab_file", str(words), "--text", str(text), "--arpa", str(model)]
        command += ["--temp_prefix", f"{scratch}/"]
        failed, said = _run(command)
        fallback = failed and "--discount_fallback" in said
        if fallback:
            print(
                "lmplz: too little text to estimate discounts from; using its fixed ones (--discount_fallback)",
                flush=True,
            )
            failed, said = _run([*command, "--discount_fallback"])
        if failed:
            raise UserError(f"lmplz failed: {' '.join(said.split())[-500:]} (the command was: {' '.join(command)})")
    return fallback


def check_arpa(path: Path) -> dict[int, int]:
    """The number of n-grams of each order, after the whole file, plain or gzip, has been read and found sound.

    Raises UserError, with the line, when the file is no ARPA model, is cut short, or has an order KenLM does not read.
    """
    stripped = ((number, line.strip()) for number, line in numbered_lines(path))
    lines = track((pair for pair in stripped if pair[1]), what=f"check of {path.name}", unit="lines")
    number, line = next(lines, (1, "an empty file"))
    if line != "\\data\\":
        raise _not_arpa(path, number, "\\data\\", line)

    counts: dict[int, int] = {}
    for number, line in lines:
        if line.startswith("\\"):
            break
        header = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line, re.ASCII)
        if header is None or int(header[1]) != len(counts) + 1:
            raise _not_arpa(path, number, f"ngram {len(counts) + 1}=COUNT", line)
        counts[len(counts) + 1] = int(header[2])
    if max(counts, default=0) not in ORDERS:
        raise _not_arpa(
            path, number, f"counts of orders 1 to {ORDERS[0]} and up to {ORDERS[-1]}", f"{len(counts)} orders"
        )

    sentence_ends = {"<s>", "</s>"}
    for order, count in counts.items():
        if line != f"\\{order}-grams:":
            raise _not_arpa(path, number, f"\\{order}-grams:", line)
        for done in range(count):
            number, line = next(lines, (number, "the end of the file"))
            fields = line.split()
            if not _is_entry(fields, order, backoff=order < len(counts)):
                raise _not_arpa(path, number, f"{order}-gram {done + 1} of {count}: log10 probability and words", line)
            if order == 1:
                sentence_ends.discard(fields[1])
        number, line = next(lines, (number, "the end of the file"))
    if line != "\\end\\":
        raise _not_arpa(path, number, "\\end\\", line)
    for _ in lines:  # to the end: there stands a gzip file's checksum
        pass
    if sentence_ends:
        raise _not_arpa(path, number, "the unigrams <s> and </s>", f"none of {' '.join(sorted(sentence_ends))}")
    return counts


def arpa_words(path: Path) -> list[str]:
    """The unigrams of a checked ARPA file, in its order, without the symbols <s>, </s> and <unk>."""
    words = []
    lines = (line.split() for _, line in numbered_lines(path))
    for fields in lines:
        if fields == ["\\1-grams:"]:
            break
    for fields in lines:
        if fields and fields[0] == "\\2-grams:":
            break
        if fields and fields[1] not in ("<s>", "</s>", "<unk>", UNKNOWN):
            words.append(fields[1])
    return words


def write_binary(arpa: Path, binary: Path) -> None:
    """A checked ARPA file, not gzip, in KenLM's trie form: the same numbers, mapped into memory and not parsed.

    Raises UserError when KenLM's build_binary is not beside lmplz, or fails.
    """
    from asrkd.tools import lmplz

    program = lmplz().with_name("build_binary")
    if not program.is_file():
        raise UserError(
            f"{program}: expected KenLM's build_binary beside lmplz, found none; run: make setup (or let ASRKD_LMPLZ "
            "name an lmplz that has it beside)"
        )
    with replacing(binary) as temporary:
        prefix = str(binary.with_name("trie.tmp"))
        command = [str(program), "-S", MEMORY, "-T", prefix, "trie", str(arpa), str(temporary)]
        failed, said = _run(command)
        if failed:
            raise UserError(
                f"build_binary failed: {' '.join(said.split())[-500:]} (the command was: {' '.join(command)})"
            )


def copy_arpa(source: Path, target: Path) -> None:
    """Unpacked where it is gzip, and in NFC: the graph's builder and KenLM read the copy."""
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8") as copy:
        copy.writelines(f"{line}\n" for _, line in numbered_lines(source))


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder for a while: lmplz may end before it has unlinked a file of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _file_of(lines: Iterable[str], path: Path) -> Iterator[Path]:
    """The lines as a file at `path`, for the time that a program reads it."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _plain(sentence: str) -> str:
    """Without sentence ends, and with <unk> as an ordinary unknown word: lmplz refuses all three in a text."""
    if "<" not in sentence:
        return sentence
    return " ".join(UNKNOWN if w == "<unk>" else w for w in sentence.split() if w not in ("<s>", "</s>"))


def _run(command: list[str]) -> tuple[bool, str]:
    """Whether the program failed, and what it said. Its steps are shown as they begin."""
    said = []
    command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_CALLER, str(os.getpid()), *command]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            said.append(line)
            if line.startswith("=== "):
                print("lmplz:", line.strip("= \n"), flush=True)
    return process.returncode != 0, "".join(said)


def _is_entry(fields: list[str], order: int, *, backoff: bool) -> bool:
    if len(fields) != order + 1 and not (backoff and len(fields) == order + 2):
        return False
    try:
        return float(fields[0]) <= 0 and (len(fields) == order + 1 or float(fields[-1]) == float(fields[-1]))
    except ValueError:
        return False


def _not_arpa(path: Path, number: int, expected: str, found: str) -> UserError:
    found = found if len(found) < 60 else found[:57] + "..."
    return UserError(
        f"{path}, line {number}: not a whole ARPA model (--lm, lang.rescore_lm): expected {expected}, found {found}"
    )
