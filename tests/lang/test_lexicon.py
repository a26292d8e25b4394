import gzip
from functools import partial
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrkd.config import LangConfig
from asrkd.errors import UserError
from asrkd.lang.lexicon import (
    NOISE,
    NOT_WORDS,
    SILENCE,
    UNKNOWN,
    VARIANT,
    Lexicon,
    default_lexicon,
    phone_list,
    read_lexicon,
    source_lexicon,
    write_lexicon,
)

letters = st.characters(codec="utf-8", categories=["L", "N", "P", "S"])
# Files are read in NFC, and so is what is written into them here.
words = (
    st.text(letters, min_size=1, max_size=6)
    .map(partial(normalize, "NFC"))
    .filter(
        lambda word: (
            word not in (*NOT_WORDS, UNKNOWN) and not word.startswith(("#", ";;;")) and not VARIANT.search(word)
        )
    )
)
phones = (
    st.text(st.characters(categories=["Lu", "Ll"]), min_size=1, max_size=3)
    .map(partial(normalize, "NFC"))
    .filter(lambda phone: phone not in (SILENCE, NOISE))
)
entries = st.dictionaries(
    words,
    st.lists(st.lists(phones, min_size=1).map(tuple), min_size=1, unique=True),
    min_size=1,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(entries)
def test_written_lexicon_is_read_back(tmp_path: Path, lexicon: Lexicon) -> None:
    path = tmp_path / "lexicon.txt"
    write_lexicon(path, lexicon)
    assert read_lexicon(path) == {**lexicon, UNKNOWN: [(NOISE,)]}


def test_the_cmu_dictionarys_own_files(tmp_path: Path) -> None:
    path = tmp_path / "cmudict"
    path.write_text(
        ";;; # CMUdict  --  Major Version: 0.07\n;;;\n#HASH-MARK  HH AE1 M AA2 R K\nREAD  R EH1 D\nREAD(1)  R IY1 D\n"
        "d'artagnan D AH0 R T AE1 NG Y AH0 N # foreign french\n# a comment\n"
    )
    assert read_lexicon(path) == {
        "#HASH-MARK": [("HH", "AE1", "M", "AA2", "R", "K")],
        "READ": [("R", "EH1", "D"), ("R", "IY1", "D")],
        "d'artagnan": [("D", "AH0", "R", "T", "AE1", "NG", "Y", "AH0", "N")],
        UNKNOWN: [(NOISE,)],
    }
    path.write_bytes("DÉJÀ  D EY2 ZH AA1\n".encode("latin-1"))
    with pytest.raises(UserError, match="cmudict, line 1: expected UTF-8 .*iconv -f latin1 -t utf-8 .*cmudict > "):
        read_lexicon(path)


def test_variants_blank_lines_tabs_and_gzip(tmp_path: Path) -> None:
    text = "READ\tR EH D\nREAD(2)  R IY D\n\nREAD R EH D\r\n<UNK> SPN\nA(1) AH\n"
    plain, packed = tmp_path / "lexicon.txt", tmp_path / "lexicon.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    expected = {
        "READ": [("R", "EH", "D"), ("R", "IY", "D")],
        UNKNOWN: [(NOISE,)],
        "A": [("AH",)],
    }
    assert (
        read_lexicon(plain)
        == read_lexicon(packed)
        == source_lexicon(LangConfig(lexicon=str(plain)), [], [])
        == expected
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WORD", "at least one phone"),
        ("PAUSE SIL", "found SIL"),
        ("COUGH SPN", "found SPN"),
        ("WORD 0.75 W ER D", "the number 0.75"),
        ("<s> W", "found <s>"),
        ("#0 W", "found #0"),
        ("WORD #1", "found #1"),
        ("<UNK> AH", "expected <UNK> SPN, found <UNK> AH"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text(f"A AH\n{line}\n")
    with pytest.raises(UserError, match=r"lexicon\.txt, line 2: ") as error:
        read_lexicon(path)
    assert expected in str(error.value)


def test_empty_file_is_no_lexicon(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("\n \n")
    with pytest.raises(UserError, match="found no line"):
        read_lexicon(path)


def test_default_lexicon_has_no_stress_and_no_double() -> None:
    lexicon = default_lexicon()
    assert lexicon["READ"] == [("R", "EH", "D"), ("R", "IY", "D")]
    assert lexicon["THE"] == [
        ("DH", "AH"),
        ("DH", "IY"),
    ]  # three entries, two of which differ in stress alone
    assert len(phone_list(lexicon)) == 2 + 39
    assert phone_list(lexicon)[:4] == [SILENCE, NOISE, "AA", "AE"]
    assert all(word == word.upper() for word in lexicon)
