from asrkd.report.utterances import Word, compare, examples


def test_every_kind_of_error_at_its_place() -> None:
    assert compare("THE CAT SAT DOWN", "THE BAT SAT") == [
        Word("THE"),
        Word("BAT", "sub", "CAT"),
        Word("SAT"),
        Word("DOWN", "del"),
    ]
    assert compare("A DOG", "A BIG DOG") == [Word("A"), Word("BIG", "ins"), Word("DOG")]
    assert compare("A DOG", "") == [Word("A", "del"), Word("DOG", "del")]


def test_examples_are_spread_over_the_sorted_ids() -> None:
    references = {f"u{number}": "A" for number in range(9, -1, -1)}
    shown = examples(references, {"baseline": references}, count=2)
    assert [example.utterance for example in shown] == ["u2", "u7"]
    assert shown[0].heard == [("baseline", [Word("A")])]


def test_few_utterances_are_all_shown_and_a_lost_one_is_empty() -> None:
    (only,) = examples({"u": "A"}, {"student": {}}, count=8)
    assert only.heard == [("student", [Word("A", "del")])]
