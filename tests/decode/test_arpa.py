import math
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrkd.decode.arpa import FINAL, Arcs, read_grammar
from asrkd.errors import UserError

WORDS = {"a": 1, "b": 2, "c": 3, "d": 4}
BACKOFF = 5


def needed_backoffs_only(grammar: Arcs, labels: list[int]) -> float:
    """The path that takes an n-gram's arc where there is one and backs off where there is none."""
    state, score = 0, 0.0
    for label in [*labels, FINAL]:
        while True:
            leaving = np.flatnonzero(grammar.src == state)
            named = leaving[grammar.label[leaving] == label]
            arcs = named if len(named) else leaving[grammar.label[leaving] == BACKOFF]
            assert len(arcs) == 1, "deterministic, and backing off to the empty history, which lists all words"
            state, score = int(grammar.dst[arcs[0]]), score + float(grammar.score[arcs[0]])
            if len(named):
                break
    assert state == grammar.dst.max()
    return score


def best(grammar: Arcs, labels: list[int]) -> float:
    """Over all paths, backoff taken freely."""
    scores = np.full(grammar.dst.max() + 1, -np.inf)
    scores[0] = 0.0
    backoffs = grammar.label == BACKOFF
    for label in [*labels, FINAL]:
        for _ in range(3):
            np.maximum.at(scores, grammar.dst[backoffs], scores[grammar.src[backoffs]] + grammar.score[backoffs])
        after = np.full(len(scores), -np.inf)
        named = grammar.label == label
        np.maximum.at(after, grammar.dst[named], scores[grammar.src[named]] + grammar.score[named])
        scores = after
    return float(scores[-1])


@pytest.fixture
def model(trigram: Path) -> kenlm.Model:
    return kenlm.Model(str(trigram))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentence=st.lists(st.sampled_from(sorted(WORDS)), max_size=7))
def test_scores_are_kenlms(sentence: list[str], trigram: Path, model: kenlm.Model) -> None:
    grammar = read_grammar(trigram, WORDS, BACKOFF)
    labels = [WORDS[word] for word in sentence]
    expected = model.score(" ".join(sentence)) * math.log(10)
    assert needed_backoffs_only(grammar, labels) == pytest.approx(expected, abs=1e-4)
    assert best(grammar, labels) >= expected - 1e-4


def test_a_history_without_extensions_has_no_state(trigram: Path) -> None:
    grammar = read_grammar(trigram, WORDS, BACKOFF)
    # <s>, (), a, b, c, "<s> a", "a b", "c c", "b c" and the final state; not d, "<s> c", "c a"
    assert grammar.dst.max() + 1 == 10
    assert (grammar.label == BACKOFF).sum() == 8  # all of them but () and the final state
    assert not (grammar.src == grammar.dst.max()).any()


def test_words_outside_the_vocabulary_go_with_their_ngrams(trigram: Path) -> None:
    grammar = read_grammar(trigram, {"a": 1, "b": 2}, 3)
    assert set(grammar.label.tolist()) == {1, 2, 3, FINAL}
    # unigrams a, b, </s>; <s> a, a b, a </s>; <s> a b, a b a
    assert (grammar.label != 3).sum() == 8


@pytest.mark.parametrize("order", [1, 2])
def test_other_orders(order: int, tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    bigrams = "\\2-grams:\n-0.1\t<s> a\n-0.2\ta </s>\n\n" if order == 2 else ""
    path.write_text(
        f"\\data\\\nngram 1=4\n{'ngram 2=2' if order == 2 else ''}\n\n"
        f"\\1-grams:\n-99\t<s>\t-0.5\n-0.6\t</s>\n-0.4\ta\t-0.3\n-0.5\tb\n\n{bigrams}\\end\\\n"
    )
    grammar = read_grammar(path, WORDS, BACKOFF)
    expected = -0.1 - 0.2 if order == 2 else -0.5 - 0.4 - 0.6
    assert needed_backoffs_only(grammar, [1]) == pytest.approx(expected * math.log(10), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no model\n", "expected an ARPA model"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n", "found its end after 1 of 1 orders"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\nx\ta\n\n\\end\\\n", "line 5: expected a log10 probability"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\tx\n\n\\end\\\n", "expected n-grams of the vocabulary"),
        (
            "\\data\\\nngram 1=1\nngram 2=0\nngram 3=1\n"
            "\\1-grams:\n-1\ta\n\\2-grams:\n\\3-grams:\n-1\ta a a\n\\end\\\n",
            "expected the history 'a a' among the 2-grams",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(text)
    with pytest.raises(UserError, match=message):
        read_grammar(tmp_path / "lm.arpa", WORDS, BACKOFF)
