import math

from asrkd.score.bootstrap import by_speaker, paired_bootstrap
from asrkd.score.significance import matched_pairs
from asrkd.score.summary import compare, split_scores
from asrkd.score.wer import WordErrors, score_texts
from asrkd.systems import System
from tests.score.nist import IDS, texts

FRAMES = {"frames": 10, "accuracy": 0.5, "cross_entropy": 1.0}
SYSTEMS = [
    System("member-01", "member", ["member-01"], "member 1"),
    System("ensemble", "ensemble", ["member-01"], "ensemble of 1"),
]


def errors(column: int, speakers: int) -> WordErrors:
    return score_texts(texts(0), texts(column), {name: f"s{place % speakers}" for place, name in enumerate(IDS)})


def test_a_pair_has_both_intervals_and_the_matched_pairs() -> None:
    ours, theirs = errors(2, speakers=6), errors(1, speakers=6)
    (row, of_members) = compare({"member-01": theirs, "ensemble": ours}, SYSTEMS)
    assert math.isclose(row.difference, (32 - 24) / 155)
    e, f, words = by_speaker(ours.speakers, ours.errors, theirs.errors, ours.words)
    assert row.interval_by_speaker == paired_bootstrap(e, f, words).interval
    assert row.interval == paired_bootstrap(ours.errors, theirs.errors, ours.words).interval
    matched = matched_pairs([ours.alignments], [theirs.alignments])
    assert (row.segments, row.difference_per_segment, row.z, row.p) == (43, matched.difference, matched.z, matched.p)
    assert (of_members.interval, of_members.p) == (row.interval, row.p)  # the mean of one member is that one


def test_one_utterance_has_no_interval() -> None:
    one = score_texts({"u": "A B"}, {"u": "A"}, {"u": "s"})
    scores = split_scores(FRAMES, one)
    assert (scores["wer"], scores["interval"], scores["interval_by_speaker"]) == (0.5, None, None)
    row, _ = compare({"member-01": one, "ensemble": one}, SYSTEMS)
    assert (row.interval, row.interval_by_speaker, row.better) == (None, None, None)


def test_speakers_are_drawn_where_there_are_two() -> None:
    assert split_scores(FRAMES, errors(1, speakers=2))["interval_by_speaker"] is not None
    assert split_scores(FRAMES, errors(1, speakers=1))["interval_by_speaker"] is None
    alone = {"member-01": errors(1, speakers=1), "ensemble": errors(2, speakers=1)}
    assert {row.interval_by_speaker for row in compare(alone, SYSTEMS)} == {None}
