import json
import math
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asrkd.decode.arpa import FINAL
from asrkd.decode.graph_arrays import open_graph
from asrkd.decode.lattice import Beam
from asrkd.decode.lexicon import Lexicon, lexicon_transducer, word_ids
from asrkd.decode.paths import best_paths
from asrkd.decode.words import spelling
from asrkd.errors import UserError
from asrkd.lang.pieces import BEGINS

PHONES = ["SIL", "SPN", "X", "Y"]
ENTRIES = [("A", ["X"]), ("B", ["X", "Y"]), ("C", ["X", "Y"]), ("D", ["Y"]), ("D", ["Y", "X"]), ("OTHER", ["SPN"])]
WORDS = word_ids(["A", "B", "C", "D"])
# Pieces: "_X" sounds as "X" does, and "_XY" as "_X Y", within a word and from word to word.
PIECES = {"\u2581X": ["X"], "\u2581Y": ["Y"], "\u2581XY": ["X", "Y"], "X": ["X"], "Y": ["Y"]}
PIECE_IDS = word_ids(list(PIECES))


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


def test_of_pieces_a_pause_comes_between_words_alone() -> None:
    """Against all sequences of pieces that begin with a word's first, with all choices of pauses before such and at
    the end; their scores have the odds of a pause once a word and once at the beginning."""
    lexicon = lexicon_transducer(PIECES.items(), PIECE_IDS, PHONES)
    spelt = sorted(
        (tuple(label for label in labels if label < lexicon.first_disambiguation), pieces)
        for labels, found in sequences(lexicon, 3).items()
        for pieces in found
    )
    number = {phone: label for label, phone in enumerate(PHONES, 1)}
    begins = {number for piece, number in PIECE_IDS.items() if piece.startswith("\u2581")}
    names = list(PIECES)
    expected = []
    for length in range(4):
        for chosen in product(PIECE_IDS.values(), repeat=length):
            if chosen and chosen[0] not in begins:
                continue
            places = [place for place in range(length) if chosen[place] in begins] + [length]
            if not chosen:
                places = [0]
            for pauses in product([False, True], repeat=len(places)):
                before = dict(zip(places, pauses, strict=True))
                labels: list[int] = []
                for place, piece in enumerate(chosen):
                    labels += [number["SIL"]] * before.get(place, False)
                    labels += [number[phone] for phone in PIECES[names[piece - 1]]]
                labels += [number["SIL"]] * before[length]
                expected.append((tuple(labels), chosen))
    assert spelt == sorted(expected)


def test_disambiguated_labels_spell_one_sequence_of_pieces() -> None:
    for labels, found in sequences(lexicon_transducer(PIECES.items(), PIECE_IDS, PHONES), 4).items():
        assert len(found) == 1, labels


def test_words_have_the_arcs_that_they_had() -> None:
    """One word, by hand: no arc is there for pieces' sake."""
    lexicon = lexicon_transducer([("A", ["X", "Y"])], word_ids(["A"]), PHONES)
    half = math.log(0.5)
    expected = [
        (0, 1, 0, 0, half),
        (0, 2, 0, 0, half),
        (2, 3, 1, 0, 0),
        (3, 1, 6, 0, 0),
        (1, 1, 5, 2, 0),
        (1, 4, 3, 1, 0),
        (4, 1, 4, 0, half),
        (4, 2, 4, 0, half),
        (1, 5, FINAL, FINAL, 0),
    ]
    arcs = zip(*(column.tolist() for column in lexicon.transducer), strict=True)
    assert [arc[:4] for arc in arcs] == [arc[:4] for arc in expected]
    assert np.allclose(lexicon.transducer.score, [arc[4] for arc in expected])


@pytest.fixture(scope="module")
def piece_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HLG of the pieces, under a bigram that makes each word go on rather than another begin."""
    from asrkd.decode import kaldi_hlg

    folder = tmp_path_factory.mktemp("pieces")
    probabilities = {piece: -1.5 if piece.startswith("\u2581") else -0.5 for piece in PIECES}
    unigrams = "".join(f"{score}\t{piece}\t-0.1\n" for piece, score in probabilities.items())
    (folder / "lm.arpa").write_text(
        f"\\data\\\nngram 1=7\nngram 2=1\n\n\\1-grams:\n-99\t<s>\t-0.1\n-0.7\t</s>\n{unigrams}\n\\2-grams:\n"
        "-0.2\t\u2581X Y\n\n\\end\\\n"
    )
    (folder / "phones.txt").write_text("\n".join(PHONES))
    (folder / "vocabulary.txt").write_text("\n".join(PIECES))
    (folder / "lexicon.txt").write_text("".join(f"{piece} {' '.join(spoken)}\n" for piece, spoken in PIECES.items()))
    np.save(folder / "pdfs.npy", np.broadcast_to(np.arange(12).reshape(4, 3), (4, 4, 3)))
    names = {"pdfs": "pdfs.npy", "lm": "lm.arpa"} | {
        name: f"{name}.txt" for name in ("phones", "vocabulary", "lexicon")
    }
    job = {name: str(folder / file) for name, file in {**names, "graph": "."}.items()}
    (folder / "job.json").write_text(json.dumps(job))
    kaldi_hlg.main([str(folder / "job.json")])
    return folder


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        ("X Y", "XY"),
        ("X SIL Y", "X Y"),  # though the bigram would have it one word
        ("SIL X Y X SIL", "XYX"),
        ("X SIL Y X SIL X", "X YX X"),
    ],
)
def test_a_graph_of_pieces_finds_words(piece_graph: Path, heard: str, text: str) -> None:
    from asrkd.decode import kaldi_search

    states = [3 * PHONES.index(phone) + state for phone in heard.split() for state in range(3)]
    loglikes = np.full((len(states), 12), -50, dtype=np.float32)
    loglikes[np.arange(len(states)), states] = 0
    lattice = kaldi_search.search(kaldi_search.load_graph(piece_graph), loglikes, Beam(1000.0, 1000.0, 1, 10**6))
    ((_, found),) = best_paths(open_graph(piece_graph), lattice, [(1.0, 0.0)])
    assert spelling(piece_graph)(found) == text


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


def test_after_a_piece_one_state_alone_can_go_on_without_a_pause() -> None:
    """k2's determinisation copies the whole language model for each history where there are two."""
    pieces = word_ids([f"{BEGINS}A", "A", "B"])
    entries = [(f"{BEGINS}A", ["X"]), ("A", ["X"]), ("B", ["Y", "X"])]
    lexicon = lexicon_transducer(entries, pieces, ["SIL", "X", "Y"])
    src, dst, label, output = (column.tolist() for column in lexicon.transducer[:4])
    pauses = {s for s, own in zip(src, label, strict=True) if own == 1}
    for state in set(src):
        arcs = {(own, word, to) for s, to, own, word in zip(src, dst, label, output, strict=True) if s == state}
        for own, word in {arc[:2] for arc in arcs if arc[0] > 0}:
            assert len({to for *what, to in arcs if what == [own, word]} - pauses) == 1
