"""Mixtures of models against the weighted mean of what KenLM says of each, and EM against a search."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import read_json
from asrkd.lang.interpolate import em_weights, word_log_probs, write_mixture
from asrkd.lang.lm import check_arpa, estimate_lm
from asrkd.lang.ngrams import NgramTables
from asrkd.lang.prepare import prepare_lang
from asrkd.lang.scoring import load_lm, perplexity

WORDS = [f"W{number}" for number in range(12)]
PARTS = [WORDS[:9], WORDS[3:11]]  # each text lacks words of the vocabulary, and W11 is in none
WEIGHTS = [0.3, 0.7]


def text(seed: int, words: list[str], sentences: int) -> list[str]:
    draw = Random(seed)
    weights = [1 / (1 + rank) for rank in range(len(words))]
    return [" ".join(draw.choices([*words, "OTHER"], [*weights, 0.1], k=draw.randint(1, 7))) for _ in range(sentences)]


@pytest.fixture(params=[[], [0, 0, 1]], ids=["whole", "pruned"])
def arpas(request: pytest.FixtureRequest, tmp_path: Path, needs_lmplz: None) -> list[Path]:
    """Two components and their mixture."""
    parts = [tmp_path / "a.arpa", tmp_path / "b.arpa"]
    for seed, (words, arpa) in enumerate(zip(PARTS, parts, strict=True)):
        estimate_lm(text(seed, words, 60 + 90 * seed), WORDS, arpa, order=3, prune=request.param, unseen=[])
    mixture = tmp_path / "mixture.arpa"
    write_mixture(parts, WEIGHTS, WORDS, mixture)
    return [*parts, mixture]


def ngrams(arpa: Path) -> set[tuple[str, ...]]:
    """All that are listed, but for the symbols that are not predicted."""
    rows = [line.split("\t")[1].split() for line in arpa.read_text().splitlines() if "\t" in line]
    return {tuple(row) for row in rows} - {("<s>",), ("<unk>",)}


def log10(model: Any, history: Sequence[str], word: str) -> float:
    """Of a word after a history that may begin with <s>."""
    import kenlm

    state, after = kenlm.State(), kenlm.State()
    model.NullContextWrite(state)
    if history and history[0] == "<s>":
        model.BeginSentenceWrite(state)
    for given in history[history[:1] == ("<s>",) :]:
        model.BaseScore(state, given, after)
        state, after = after, state
    return float(model.BaseScore(state, word, after))


def component_prob(model: Any, history: Sequence[str], word: str) -> float:
    """With the mass of <unk> shared out among the words of the vocabulary that the model lacks, and <unk> itself."""
    share = 1 + sum(word not in model for word in WORDS)
    known = word in model and word != "<unk>"
    return float(10 ** log10(model, history, word) / (1 if known else share))


def test_listed_ngrams_have_the_weighted_mean(arpas: list[Path]) -> None:
    check_arpa(arpas[-1])
    listed = ngrams(arpas[-1])
    assert listed == ngrams(arpas[0]) | ngrams(arpas[1]) | {(word,) for word in WORDS}
    first, second, mixture = map(load_lm, arpas)
    for *history, word in listed:
        parts = [component_prob(model, tuple(history), word) for model in (first, second)]
        expected = sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))
        assert math.isclose(10 ** log10(mixture, tuple(history), word), expected, rel_tol=1e-5), (history, word)


def test_every_history_sums_to_one(arpas: list[Path]) -> None:
    model = load_lm(arpas[-1])
    histories = [(), *product(["<s>", *WORDS]), *product(["<s>", *WORDS], WORDS)]
    for history in histories:
        total = sum(10 ** log10(model, history, word) for word in [*WORDS, "</s>", "<unk>"])
        assert math.isclose(total, 1, abs_tol=1e-4), history


def test_unlisted_ngrams_back_off(arpas: list[Path]) -> None:
    """As far from the weighted mean as backing off makes it, and no farther: the mixture is close to the mean."""
    *parts, mixture = map(load_lm, arpas)
    near = []
    for history in product(WORDS[:5], WORDS[:5]):
        for word in WORDS:
            expected = sum(w * component_prob(model, history, word) for w, model in zip(WEIGHTS, parts, strict=True))
            near.append(abs(log10(mixture, history, word) - math.log10(expected)))
    assert np.median(near) < 0.15


def test_word_probabilities_are_the_components(arpas: list[Path]) -> None:
    spoken = ["W0 W4 W11", "W10 OTHER W2"]
    found = word_log_probs(arpas[:2], WORDS, spoken)
    expected = []
    for model in map(load_lm, arpas[:2]):
        column = []
        for sentence in spoken:
            words = ["<s>", *sentence.split(), "</s>"]
            column += [
                math.log(component_prob(model, tuple(words[:place]), words[place]))
                for place in range(1, len(words))
                if words[place] != "OTHER"
            ]
        expected.append(column)
    assert np.allclose(found.T, expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_em_finds_the_best_weights_and_never_falls(seed: int) -> None:
    draw = np.random.default_rng(seed)
    log_probs = np.log(draw.beta(0.5, 3 + seed, (400, 2))) - 700  # far below what a float holds
    found = em_weights(log_probs)
    grid = np.linspace(0, 1, 10001)[1:-1]
    likelihoods = np.logaddexp(log_probs[:, :1] + np.log(grid), log_probs[:, 1:] + np.log(1 - grid)).mean(axis=0)
    assert math.isclose(found.weights[0], grid[likelihoods.argmax()], abs_tol=2e-3)
    assert math.isclose(found.log_likelihoods[-1], likelihoods.max(), abs_tol=1e-6)
    assert math.isclose(sum(found.weights), 1)
    assert (np.diff(found.log_likelihoods) >= -1e-12).all()


def test_em_gives_all_to_the_one_that_is_always_better() -> None:
    found = em_weights(np.log(np.tile([[0.3, 0.1, 0.2]], (50, 1))))
    assert found.weights[0] > 0.999
    assert (np.diff(found.log_likelihoods) >= -1e-12).all()


def test_an_ngram_without_its_ending_is_told() -> None:
    union = NgramTables(3)
    union.add([np.array([[0], [1], [2]])])
    union.add([np.array([[0, 1]]), np.array([[1, 2], [0, 1]])])
    assert union.rows[1].tolist() == [[0, 1], [1, 2]]
    with pytest.raises(UserError, match="expected the history and the ending of every n-gram"):
        union.add([np.array([[0, 1, 0]])])


def test_the_stage_mixes_and_reports(tmp_path: Path, exp: Path, needs_lmplz: None) -> None:
    (tmp_path / "lexicon").write_text("A AH\nB B IY\nC S IY\nD D IY\nY W\n")
    (tmp_path / "near").write_text("A B Y\nB A Y\nA B Y\nB Y\n")
    (tmp_path / "far").write_text("C C A\nD A C\nC D\n")
    config = Config()
    config.lang.lexicon = str(tmp_path / "lexicon")
    config.lang.more_lm_texts = [str(tmp_path / "near"), str(tmp_path / "far")]
    config.lang.rescore_order = 4
    prepare_lang(exp, config)
    report = read_json(exp / "lang" / "report.json")
    made = exp / "lang" / "lm.arpa"
    assert report["vocabulary"]["words"] == 5
    for model in (report["language_model"], report["second_model"]):
        weights = [part["weight"] for part in model["components"]]
        assert math.isclose(sum(weights), 1, abs_tol=2e-4) and weights[1] == max(weights)
        sources = [part["source"] for part in model["components"]]
        assert sources == [
            "lmplz, from the training transcripts",
            f"lmplz, from {tmp_path / 'near'}",
            f"lmplz, from {tmp_path / 'far'}",
        ]
    assert report["dev"]["perplexity"] == round(perplexity(made, ["A B Y"]).perplexity, 2)
    alone = [part["perplexity_dev"] for part in report["language_model"]["components"]]
    assert report["dev"]["perplexity"] <= min(alone) * 1.01
    assert not list((exp / "lang").glob("*.tmp"))

    (tmp_path / "far").write_text("c c a\n")
    with pytest.raises(UserError, match=r"far: expected words of the vocabulary.*found none of 4 .*more_lm_texts"):
        prepare_lang(exp, config)
    config.lang.more_lm_texts = [str(tmp_path / "nowhere")]
    with pytest.raises(UserError, match=r"nowhere: expected a file, found none \(lang.more_lm_texts\[0\]\)"):
        prepare_lang(exp, config)
