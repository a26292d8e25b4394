"""The words that can be recognised, and what is told or refused when they do not fit the transcripts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asrkd.config import LangConfig
from asrkd.errors import UserError
from asrkd.lang.coverage import SHOWN, coverage
from asrkd.lang.lexicon import GRAPHEMIC, UNKNOWN, Lexicon
from asrkd.lang.text import sentences


def most_frequent(counts: Mapping[str, int], lexicon: Lexicon, size: int) -> list[str]:
    """The `size` most frequent words that have a pronunciation, sorted; of equals, the first in the alphabet."""
    known = sorted((-count, word) for word, count in counts.items() if word in lexicon and word != UNKNOWN)
    return sorted(word for _, word in known[:size])


def read_vocabulary(path: Path) -> list[str]:
    """Raises UserError when a line has more than a word, or no line has one."""
    words = list(sentences(path))
    for word in words:
        if " " in word:
            raise UserError(f"{path}: expected a word a line, found {word[:60]!r} (lang.vocabulary)")
    if not words:
        raise UserError(f"{path}: expected a word a line, found no word (lang.vocabulary)")
    return sorted(set(words))


def vocabulary_report(vocabulary: list[str], left_out: list[str]) -> dict[str, Any]:
    if left_out:
        some = ", ".join(left_out[:SHOWN])
        print(f"{len(left_out)} words cannot be decoded (not in the lexicon or the LM): {some}", flush=True)
    return {"words": len(vocabulary), "left_out": len(left_out), "left_out_words": left_out[:SHOWN]}


def expect_known(train: Mapping[str, Any], lang: LangConfig) -> None:
    """An unknown word is aligned as noise; a corpus of them would train the members on noise alone."""
    if 2 * train["out_of_lexicon"] > train["words"]:
        some = ", ".join(train["out_of_lexicon_words"][:3])
        raise UserError(
            f"train: {train['out_of_lexicon_percent']} % of the words are not in the lexicon, for example {some}; "
            f"expected the spelling and case of {_lexicon(lang)} (--lexicon names another)"
        )


def expect_words(vocabulary: list[str], source: str, lang: LangConfig) -> None:
    if not vocabulary:
        raise UserError(
            f"{source}: expected words of the lexicon ({_lexicon(lang)}), found none; "
            "the two must agree in spelling and case (--lexicon names another)"
        )


def expect_spoken(vocabulary: Iterable[str], what: str, lang: LangConfig, texts: Mapping[str, list[str]]) -> None:
    """Days of training cannot make up for words that the decoder does not have.

    Above half the words it is told, since a few utterances tried as a corpus may be so; above 90 %, as with a text in
    another case, it is an error, unless the user named the vocabulary.
    """
    known: Lexicon = {word: [] for word in vocabulary}
    for split in ("dev", "test"):
        found = coverage(texts[split], known)
        if 2 * found["out_of_lexicon"] <= found["words"]:
            continue
        some = ", ".join(found["out_of_lexicon_words"][:3])
        told = (
            f"{split}: {found['out_of_lexicon_percent']} % of the words are not in {what}, and cannot be recognised, "
            f"for example {some}; expected the transcripts' spelling and case (--lm-text, --lm or lang.vocabulary "
            "names another)"
        )
        if 10 * found["out_of_lexicon"] > 9 * found["words"] and not lang.vocabulary:
            raise UserError(told)
        print(f"WARNING: {told}", flush=True)


def _lexicon(lang: LangConfig) -> str:
    if lang.lexicon == GRAPHEMIC:
        return "a graphemic lexicon: words of letters, apostrophes and hyphens, whose letters train has"
    return lang.lexicon or "cmudict, in capitals"
