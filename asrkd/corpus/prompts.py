"""The list of Asterisk's prompts in a language, and a fixed split."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from asrkd.corpus.spoken import ENGLISH, Language, spoken_sentences

RUN_ON = re.compile(r"\b[a-z]+(?:-[a-z0-9]+)+:")  # the name of another entry, in the same line by mistake
SHARES = {"train": 0.72, "dev": 0.10, "test": 0.18}
SALT = "1"  # of several, the one whose splits of the English prompts come closest to these shares of the words


@dataclass(frozen=True)
class Prompt:
    name: str  # of the sound file, without its suffix
    sentences: tuple[str, ...]  # of spoken words

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def read_prompts(transcripts: str, language: Language = ENGLISH) -> list[Prompt]:
    """The spoken prompts of a list of `name: text` lines, sorted by name.

    `;` begins a comment line. Entries without a word outside brackets are tones, beeps or silence, and no prompts. Of
    two entries of a name the first counts: the second has lost a digit of its own name.
    """
    prompts: dict[str, Prompt] = {}
    for line in transcripts.splitlines():
        name, colon, written = line.partition(":")
        name = name.strip()
        if line.startswith(";") or not colon or name in prompts or name in language.not_said:
            continue
        texts = [text for text in RUN_ON.split(written) if text.strip()]
        sentences = spoken_sentences(texts[0], language) if texts else ()
        if sentences:
            prompts[name] = Prompt(name, sentences)
    return [prompts[name] for name in sorted(prompts)]


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
