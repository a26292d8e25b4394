"""The transcripts of Asterisk's English prompts: from written text to spoken words, and a fixed split."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from num2words import num2words

NO_SPEECH = re.compile(r"\[[^]]*\]|\([^)]*\)|<[^>]*>")  # [beep], (10 seconds of silence), <beep ascending>
SENTENCE_END = re.compile(r"(?<=[.?!;])\s+")
SYMBOLS = {"*": " STAR ", "#": " POUND ", "&": " AND ", "%": " PERCENT ", "@": " AT ", "+": " PLUS ", "=": " EQUALS "}
LETTER_BY_LETTER = {"PBX", "IVR", "IAX", "IP", "USB", "MGCP", "WWW"}
RESPELT = {  # misspelt in the list, or two words that lexicons know apart
    "BACKTICK": "BACK TICK",
    "EXCLAIMATION": "EXCLAMATION",
    "FOREVERMORE": "FOREVER MORE",
    "FOURTIETH": "FORTIETH",
    "INDENTIFIED": "IDENTIFIED",
    "LOWERCASE": "LOWER CASE",
    "REPRESENATIVES": "REPRESENTATIVES",
    "RERECORD": "RE RECORD",
    "SEMICOLON": "SEMI COLON",
    "TOUCHTONE": "TOUCH TONE",
    "UMUTE": "UNMUTE",
    "UPPERCASE": "UPPER CASE",
    "WITHELD": "WITHHELD",
    "XRAY": "X RAY",
}
SHARES = {"train": 0.72, "dev": 0.10, "test": 0.18}
SALT = "1"  # of several, the one whose splits come closest to these shares of the words


@dataclass(frozen=True)
class Prompt:
    name: str  # of the sound file, without its suffix
    sentences: tuple[str, ...]  # of spoken words

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def read_prompts(transcripts: str) -> list[Prompt]:
    """The spoken prompts of a list of `name: text` lines, sorted by name.

    `;` begins a comment line. Entries without a word outside brackets are tones, beeps or silence, and no prompts.
    """
    prompts = {}
    for line in transcripts.splitlines():
        name, colon, written = line.partition(":")
        if line.startswith(";") or not colon:
            continue
        sentences = spoken_sentences(written)
        if sentences:
            prompts[name.strip()] = Prompt(name.strip(), sentences)
    return [prompts[name] for name in sorted(prompts)]


def spoken_sentences(written: str) -> tuple[str, ...]:
    """The words of each sentence as they are spoken, in upper case; see `spoken`."""
    speech = NO_SPEECH.sub(" ", written).strip()
    sentences = (spoken(sentence) for sentence in SENTENCE_END.split(speech))
    return tuple(sentence for sentence in sentences if sentence)


def spoken(written: str) -> str:
    """Upper case, numbers and symbols as words, abbreviations as letters, no punctuation but the apostrophe."""
    text = written.upper().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for symbol, word in SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b([A-Z])\.(?=[A-Z0-9]\b)", r"\1 ", text)  # A.M., H.323
    text = re.sub(r"(?<=[A-Z])\.(?=[A-Z])", " DOT ", text)  # www.asterisk.org
    text = re.sub(r"(\d+)(ST|ND|RD|TH)\b", lambda found: _words(int(found[1]), "ordinal"), text)
    text = re.sub(r"\d+\.\d+|\d+", lambda found: f" {_number(found[0])} ", text)
    words = [word.strip("'") for word in re.sub(r"[^A-Z']", " ", text).split()]
    return " ".join(
        RESPELT.get(word) or (" ".join(word) if word in LETTER_BY_LETTER else word) for word in words if word
    )


def _number(digits: str) -> str:
    """As a telephone voice says it: three and more digits are an extension or a password, and are said one by one.

    Whole hundreds are not: 8500 is EIGHTY FIVE HUNDRED.
    """
    if "." in digits:
        return _words(float(digits))
    if len(digits) < 3:
        return _words(int(digits))
    if len(digits) <= 4 and digits.endswith("00"):
        return f"{_words(int(digits[:-2]))} HUNDRED"
    return " ".join(_words(int(digit)) for digit in digits)


def _words(value: float, to: str = "cardinal") -> str:
    return str(num2words(value, to=to)).upper().replace("-", " ").replace(",", "")


def split_prompts(prompts: Sequence[Prompt]) -> dict[str, list[Prompt]]:
    """Train, dev and test, in which no sentence of one stands in another.

    Prompts that share a sentence, directly or through others, stay together. The hash of the group's first sentence
    chooses the split, so that the split is the same everywhere and another release's new prompts move few others.
    """
    leader: dict[str, str] = {}

    def find(sentence: str) -> str:
        while leader.setdefault(sentence, sentence) != sentence:
            sentence = leader[sentence]
        return sentence

    for prompt in prompts:
        for sentence in prompt.sentences:
            one, other = sorted((find(sentence), find(prompt.sentences[0])))
            leader[other] = one
    splits: dict[str, list[Prompt]] = {split: [] for split in SHARES}
    for prompt in prompts:
        splits[_split_of(find(prompt.sentences[0]))].append(prompt)
    return splits


def _split_of(sentence: str) -> str:
    place = int.from_bytes(hashlib.sha256((SALT + sentence).encode()).digest()[:8], "big") / 2**64
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "test"
