"""HLG and the search in it against enumeration: every word sequence, spelling and alignment, by definition."""

import json
import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest

from asrkd.decode import kaldi_hlg, kaldi_search
from asrkd.decode.graph_arrays import GraphArrays, open_graph
from asrkd.decode.interpreter import run_under_k2
from asrkd.decode.lattice import Beam, Lattice, read_lattices
from asrkd.decode.paths import best_paths, n_best

PHONES = ["SIL", "SPN", "X", "Y"]
WORDS = ["A", "B", "C", "D", "E"]
GRID = [(1.0, 0.0), (0.6, 0.0), (1.5, 0.7), (0.8, -1.0)]
FRAMES = [2, 3, 5, 7, 8, 8, 9, 9]  # of the cases; three a phone at least, so two are too few
SCALE = 0.4
WAYS = {"k2": ("k2", "k2"), "kaldi on k2's graph": ("k2", "kaldi"), "kaldi": ("kaldi", "kaldi")}
TOLERANCE = 5e-3  # kaldifst's minimisation rounds weights to 1/1024

Ngrams = dict[tuple[str, ...], tuple[float, float]]  # words -> ln probability, ln backoff weight


def random_lexicon(draw: np.random.Generator) -> list[tuple[str, list[str]]]:
    """One or two phones a word, so that there are homophones, beginnings of others and variants."""
    variants = [[PHONES[phone] for phone in draw.integers(2, 4, draw.integers(1, 3))] for _ in range(7)]
    return [(WORDS[number % 5], phones) for number, phones in enumerate(variants)]


def random_lm(draw: np.random.Generator) -> Ngrams:
    """A trigram; the scores need not be a distribution's."""

    def scores() -> tuple[float, float]:
        return float(draw.uniform(-3, -0.2)), float(draw.uniform(-1, 0))

    ngrams: Ngrams = {(word,): scores() for word in [*WORDS, "<s>", "</s>"]}
    bigrams = [(a, b) for a in ["<s>", *WORDS] for b in [*WORDS, "</s>"] if draw.random() < 0.4]
    ngrams.update({bigram: scores() for bigram in bigrams})
    followed = [bigram for bigram in bigrams if bigram[1] != "</s>"]
    ngrams.update({(*b, c): scores() for b in followed for c in [*WORDS, "</s>"] if draw.random() < 0.3})
    return ngrams


def write_arpa(path: Path, ngrams: Ngrams) -> None:
    lines = ["\\data\\"]
    lines += [f"ngram {order}={sum(len(words) == order for words in ngrams)}" for order in (1, 2, 3)]
    for order in (1, 2, 3):
        lines += ["", f"\\{order}-grams:"]
        for words, (log_prob, backoff) in ngrams.items():
            if len(words) == order:
                weight = f"\t{backoff / math.log(10):.9f}" if order < 3 and words[-1] != "</s>" else ""
                lines.append(f"{log_prob / math.log(10):.9f}\t{' '.join(words)}{weight}")
    path.write_text("\n".join([*lines, "", "\\end\\", ""]))


def lm_score(ngrams: Ngrams, words: Sequence[str]) -> float:
    """The best way to score a sentence when backing off is free to use, as it is in a graph."""
    sentence = (*words, "</s>")

    @cache
    def best(history: tuple[str, ...], position: int) -> float:
        if position == len(sentence):
            return 0.0
        found = ngrams[history][1] + best(history[1:], position) if history else -math.inf
        ngram = (*history, sentence[position])
        if ngram in ngrams:
            after = ngram[-2:]
            while after and after not in ngrams:
                after = after[1:]
            if sentence[position] == "</s>":
                after = ()
            found = max(found, ngrams[ngram][0] + best(after, position + 1))
        return found

    return best(("<s>",), 0)


def acoustic_score(phones: Sequence[int], pdfs: np.ndarray, loglikes: np.ndarray) -> float:
    """The best of all alignments of the phones' states with the frames."""
    states = [pdf for left, phone in pairwise((0, *phones)) for pdf in pdfs[left, phone].tolist()]
    total = np.concatenate([np.zeros((1, loglikes.shape[1])), np.cumsum(loglikes, axis=0)])
    best = -math.inf
    for cuts in combinations(range(1, len(loglikes)), len(states) - 1):
        spans = pairwise((0, *cuts, len(loglikes)))
        aligned = zip(states, spans, strict=True)
        best = max(best, sum(total[end, pdf] - total[begin, pdf] for pdf, (begin, end) in aligned))
    return best


def spellings(lexicon: Sequence[tuple[str, list[str]]], words: Sequence[str], phones: int) -> Iterator[tuple[int, ...]]:
    """Of so many phones at most, with every choice of variants and silences."""
    variants = [
        [[PHONES.index(phone) for phone in spoken] for name, spoken in lexicon if name == word] for word in words
    ]
    for chosen in product(*variants):
        for silences in product([[], [0]], repeat=len(words) + 1):
            spelt = [*silences[0]]
            for spoken, silence in zip(chosen, silences[1:], strict=True):
                spelt += spoken + silence
            if 0 < len(spelt) <= phones:
                yield tuple(spelt)


class Case:
    def __init__(self, folder: Path, seed: int, frames: int) -> None:
        draw = np.random.default_rng(seed)
        self.folder = folder
        self.lexicon = random_lexicon(draw)
        self.ngrams = random_lm(draw)
        self.pdfs = draw.integers(0, 2, (4, 4, 3)) + 2 * np.arange(12).reshape(4, 3)  # two left contexts a state
        self.loglikes = draw.normal(0, 4, (frames, 24)).astype(np.float32)
        folder.mkdir()
        write_arpa(folder / "lm.arpa", self.ngrams)
        (folder / "phones.txt").write_text("\n".join(PHONES))
        (folder / "vocabulary.txt").write_text("\n".join(WORDS))
        (folder / "lexicon.txt").write_text("".join(f"{word} {' '.join(spoken)}\n" for word, spoken in self.lexicon))
        np.save(folder / "pdfs.npy", self.pdfs)
        np.save(folder / "loglikes.npy", self.loglikes)
        names = {"pdfs": "pdfs.npy", "lm": "lm.arpa"}
        names |= {name: f"{name}.txt" for name in ("phones", "vocabulary", "lexicon")}
        for builder in ("k2", "kaldi"):
            (folder / builder).mkdir()
            job = {name: str(folder / file) for name, file in {**names, "graph": builder}.items()}
            (folder / f"{builder}.json").write_text(json.dumps(job))
        (folder / "case.json").write_text(json.dumps({"acoustic_scale": SCALE, "grid": GRID}))

    def best(self, way: str) -> list[tuple[float, tuple[str, ...]]]:
        """For each point of the grid the best path of the lattice: its score and words."""
        graph, lattice = self.decoded(way)
        return [(score, tuple(WORDS[word - 1] for word in words)) for score, words in best_paths(graph, lattice, GRID)]

    def decoded(self, way: str) -> tuple[GraphArrays, Lattice]:
        builder, decoder = WAYS[way]
        folder = self.folder / builder
        if decoder == "k2":
            (lattice,) = read_lattices(folder / "lattices")
        else:
            loglikes = self.loglikes * np.float32(SCALE)
            lattice = kaldi_search.search(kaldi_search.load_graph(folder), loglikes, Beam(1000.0, 1000.0, 1, 10**6))
        return open_graph(folder), lattice

    def by_enumeration(self) -> list[dict[tuple[str, ...], float]]:
        """For each point of the grid, the score of each word sequence that fits."""
        most = len(self.loglikes) // 3
        scored: list[dict[tuple[str, ...], float]] = [{} for _ in GRID]
        acoustic = cache(lambda phones: SCALE * acoustic_score(phones, self.pdfs, self.loglikes))
        for words in (words for length in range(most + 1) for words in product(WORDS, repeat=length)):
            heard = max((acoustic(phones) for phones in spellings(self.lexicon, words, most)), default=-math.inf)
            if heard == -math.inf:
                continue
            graph = lm_score(self.ngrams, words) + (len(words) + 1) * math.log(0.5)
            for scores, (lm_scale, penalty) in zip(scored, GRID, strict=True):
                scores[words] = heard + lm_scale * graph - penalty * len(words)
        return scored


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Graph and search by k2, by kaldifst and kaldi-decoder, or by one of each."""
    if "k2" in WAYS[request.param]:
        request.getfixturevalue("k2_found")
    return str(request.param)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, way: str) -> list[Case]:
    base = tmp_path_factory.mktemp("hlg")
    cases = [Case(base / f"case-{seed}", seed, frames) for seed, frames in enumerate(FRAMES)]
    if WAYS[way][0] == "k2":
        run_under_k2("tests.decode.under_k2", [str(case.folder) for case in cases])
    else:
        for case in cases:
            kaldi_hlg.main([str(case.folder / "kaldi.json")])
    return cases


@pytest.mark.parametrize("number", range(len(FRAMES)))
def test_finds_the_best_words_and_their_score(cases: list[Case], way: str, number: int) -> None:
    case = cases[number]
    for (score, words), scores in zip(case.best(way), case.by_enumeration(), strict=True):
        if not scores:
            assert FRAMES[number] < 3
            assert (score, words) == (-math.inf, ())
        else:
            assert score == pytest.approx(max(scores.values()), abs=TOLERANCE)
            assert scores[words] == pytest.approx(max(scores.values()), abs=TOLERANCE), "homophones may tie"


@pytest.mark.parametrize("number", range(len(FRAMES)))
def test_no_n_best_is_scored_too_well(cases: list[Case], way: str, number: int) -> None:
    """Nor are all there: of what sounds alike k2's removal of epsilons keeps the better at an LM scale of 1."""
    case = cases[number]
    graph, lattice = case.decoded(way)
    for (lm_scale, penalty), scores in zip(GRID, case.by_enumeration(), strict=True):
        found = n_best(graph, lattice, lm_scale, penalty, 12)
        assert bool(found) == bool(scores)
        for hypothesis in found:
            spoken = tuple(WORDS[word - 1] for word in hypothesis.words)
            assert hypothesis.score(lm_scale, penalty) <= scores[spoken] + TOLERANCE


def test_the_cases_are_not_all_alike(cases: list[Case], way: str) -> None:
    """Scale and penalty change the words, and there are empty and long answers: else the test above shows little."""
    found = [[words for _, words in case.best(way)] for case in cases]
    assert any(len(set(words)) > 1 for words in found)
    assert {len(words) for points in found for words in points} >= {0, 1, 2}


def test_the_graph_reports_itself_and_k2s_has_no_epsilon(cases: list[Case], way: str) -> None:
    builder = WAYS[way][0]
    for case in cases:
        arcs = np.load(case.folder / builder / "arcs.npy")
        report = json.loads((case.folder / builder / "report.json").read_text())
        assert builder == "kaldi" or not (arcs[:, 2] == 0).any()
        assert len(arcs) == report["arcs"] == len(np.load(case.folder / builder / "first_words.npy")) - 1
        assert arcs[:, :2].max() + 1 == report["states"]
