"""A lexicon without a dictionary: a word's phones are its letters."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

from asrkd.lang.lexicon import Lexicon, with_unknown

NO_SOUND = frozenset("'’‘ʼ`-‐‑–")  # apostrophes and hyphens


def graphemic_lexicon(words: Iterable[str], heard: Iterable[str]) -> Lexicon:
    """The letters of each of `words` that has them all.

    heard: the words of the training transcripts. A letter that none of them has would be a phone without a sound; what
    it stands in is left out, and told.
    """
    known = {letter for word in heard for letter in letters(word)}
    lexicon: Lexicon = {}
    left_out: Counter[str] = Counter()
    for word in words:
        spelt = letters(word)
        unheard = set(spelt) - known
        left_out.update(unheard)
        if spelt and not unheard:
            lexicon[word] = [spelt]
    if left_out:
        some = ", ".join(f"{letter} (in {count:,} words)" for letter, count in left_out.most_common(5))
        print(f"lexicon: {len(left_out)} letters are in no training transcript, and have no sound: {some}", flush=True)
    return with_unknown(lexicon)


def letters(word: str) -> tuple[str, ...]:
    """In capitals; none of a word with another character than letters, apostrophes and hyphens.

    Each character is spelt by itself, so that the parts of a word are spelt as the word is. The marks of Indic scripts,
    which are their vowels, count as letters.
    """
    spelt: list[str] = []
    for character in word:
        if character in NO_SOUND:
            continue
        # Case folding takes some letters apart (ß, İ); their marks are joined to them again.
        capitals = unicodedata.normalize("NFC", character.casefold().upper())
        if not all(unicodedata.category(capital)[0] in "LM" for capital in capitals):
            return ()
        spelt += capitals
    return tuple(spelt)
