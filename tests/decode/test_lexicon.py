from collections import defaultdict
from itertools import product

import pytest

from asrkd.decode.arpa import FINAL
from asrkd.decode.lexicon import Lexicon, lexicon_transducer, word_ids
from asrkd.errors import UserError

PHONES = ["SIL", "SPN", "X", "Y"]
ENTRIES = [("A", ["X"]), ("B", ["X", "Y"]), ("C", ["X", "Y"]), ("D", ["Y"]), ("D", ["Y", "X"]), ("OTHER", ["SPN"])]
WORDS = word_ids(["A", "B", "C", "D"])


def sequences(lexicon: Lexicon, words: int) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Labels without epsilons -> word sequences of up to `words` words, over all paths; #0 is passed at most never."""
    fst = lexicon.transducer
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    stack: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = [(0, (), ())]
    while stack:
        state, labels, outputs = stack.pop()
        for arc in range(len(fst.src)):
            if fst.src[arc] != state or fst.output[arc] == lexicon.backoff:
                continue
            label, output = int(fst.label[arc]), int(fst.output[arc])
            if label == FINAL:
                found[labels].append(outputs)
            elif not output or len(outputs) < words:
                stack.append(
                    (
                        int(fst.dst[arc]),
                        (*labels, label) if label else labels,
                        (*outputs, output) if output else outputs,
                    )
                )
    return found


def test_spells_every_word_sequence_with_optional_silence() -> None:
    lexicon = lexicon_transducer(ENTRIES, WORDS, PHONES)
    spelt = sorted(
        (tuple(label for label in labels if label < lexicon.first_disambiguation), words)
        for labels, found in sequences(lexicon, 2).items()
        for words in found
    )
    number = {phone: label for label, phone in enumerate(PHONES, 1)}
    known = [(WORDS[word], [number[phone] for phone in phones]) for word, phones in ENTRIES if word in WORDS]
    expected = []
    for length in range(3):
        for chosen in product(known, repeat=length):
            for silences in product([[], [number["SIL"]]], repeat=length + 1):
                labels = list(silences[0])
                for (_, phones), silence in zip(chosen, silences[1:], strict=True):
                    labels += phones + silence
                expected.append((tuple(labels), tuple(word for word, _ in chosen)))
    assert spelt == sorted(expected)


def test_disambiguated_labels_spell_one_word_sequence() -> None:
    for labels, found in sequences(lexicon_transducer(ENTRIES, WORDS, PHONES), 3).items():
        assert len(found) == 1, labels


def test_backoff_passes_between_words() -> None:
    lexicon = lexicon_transducer(ENTRIES, WORDS, PHONES)
    fst = lexicon.transducer
    (arc,) = (fst.output == lexicon.backoff).nonzero()[0]
    assert fst.src[arc] == fst.dst[arc] == fst.src[fst.label == FINAL][0]
    assert fst.label[arc] == lexicon.first_disambiguation == len(PHONES) + 1


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (ENTRIES[1:], r"none for 1 \(A\)"),
        ([*ENTRIES, ("A", ["Z"])], "expected A in the 4 phones of phones.txt, found Z"),
        ([*ENTRIES, ("A", [])], "found none"),
    ],
)
def test_what_is_wrong_is_said(entries: list[tuple[str, list[str]]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lexicon_transducer(entries, WORDS, PHONES)
