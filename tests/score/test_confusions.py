import random

import jiwer

from asrkd.score.confusions import Confusion, SpeakerErrors, confusions, speaker_errors
from asrkd.score.wer import score_texts

REFERENCES = {"u1": "the cat sat", "u2": "THE CAT RAN", "u3": "A DOG", "u4": ""}
HYPOTHESES = {"u1": "THE HAT SAT", "u2": "THE HAT RAN OFF", "u3": "DOG", "u4": "OFF"}
SPEAKERS = {"u1": "b", "u2": "a", "u3": "b", "u4": "c"}


def test_speakers_by_hand() -> None:
    assert speaker_errors(score_texts(REFERENCES, HYPOTHESES, SPEAKERS)) == [
        SpeakerErrors("a", 1, 3, 1, 0, 1, 2 / 3),
        SpeakerErrors("b", 2, 5, 1, 1, 0, 2 / 5),
        SpeakerErrors("c", 1, 0, 0, 0, 1, None),
    ]


def test_confusions_by_hand() -> None:
    errors = score_texts(REFERENCES, HYPOTHESES, SPEAKERS)
    assert confusions(REFERENCES, HYPOTHESES, errors, 20) == [
        Confusion("substitution", "CAT", "HAT", 2),
        Confusion("deletion", "A", "", 1),
        Confusion("insertion", "", "OFF", 2),
    ]


def test_the_words_of_an_utterance_without_hypothesis_are_deleted() -> None:
    errors = score_texts({"u": "A B", "v": "B"}, {}, {"u": "s", "v": "s"})
    found = confusions({"u": "A B", "v": "B"}, {}, errors, 1)
    assert found == [Confusion("deletion", "B", "", 2)]


def test_random_texts_against_what_jiwer_collects() -> None:
    rng = random.Random(1)
    said = {f"u{number}": " ".join(rng.choices("ABCDE", k=rng.randint(1, 12))) for number in range(60)}
    heard = {name: " ".join(rng.choices("ABCDE", k=9)) for name in said}
    errors = score_texts(said, heard, dict.fromkeys(said, "s"))
    found = confusions(said, heard, errors, 1000)
    counts = jiwer.collect_error_counts(jiwer.process_words(list(said.values()), list(heard.values())))
    of_runs = dict.fromkeys(("substitution", "insertion", "deletion"), 0)
    for kind, runs in zip(of_runs, counts, strict=True):  # of words in a row: as many words as the pairs are
        for words, count in runs.items():
            of_runs[kind] += count * len((words[0] if kind == "substitution" else words).split())
    assert of_runs == {kind: sum(row.count for row in found if row.kind == kind) for kind in of_runs}
