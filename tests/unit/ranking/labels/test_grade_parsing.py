"""Grades in a judge's answers: the grammar, and the status of every other answer."""

import pytest

from ranking.labels.grade_parsing import GRADES, parse_grade


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        *[("0", 0), ("3", 3), (" 2\n", 2), ("1.", 1), ("Grade: 2", 2), ("final score = 3.", 3), ("RELEVANCE:0", 0)],
        ('{"grade": 2}', 2),
        ('```json\n{"grade": 0}\n```', 0),
        ("<think>A 3? No.</think>\n1", 1),
        ('<think>{"grade": 3}</think>{"grade": 1}', 1),
    ],
)
def test_answers_of_the_grammar_have_a_grade(text, grade):
    assert parse_grade(text, "stop") == ("ok", grade)


@pytest.mark.parametrize(
    ("text", "reason", "status"),
    [
        ("", "stop", "empty"),
        (" \n", "length", "empty"),
        ("4", "stop", "out_of_range"),
        ("grade: 10", "stop", "out_of_range"),
        ("The passage is", "length", "truncated"),
        ("The passage is relevant", "stop", "malformed"),
        ("2 because it answers", "stop", "malformed"),
        ("0 to 3", "stop", "malformed"),
        ("-1", "stop", "malformed"),
        ("2.5", "stop", "malformed"),
        ("2 3", "stop", "malformed"),
        ("²", "stop", "malformed"),
        ('{"grade": 4}', "stop", "out_of_range"),
        ('{"grade": -1}', "stop", "malformed"),
        ('{"grade": 2.0}', "stop", "malformed"),
        ('{"grade": true}', "stop", "malformed"),
        ('{"grade": 2, "why": "x"}', "stop", "malformed"),
        ('{"gra', "length", "truncated"),
        ("<think>Is it 2?", "length", "truncated"),
        ("<think>2</think>", "stop", "empty"),
    ],
)
def test_other_answers_have_a_status_and_no_grade(text, reason, status):
    assert parse_grade(text, reason) == (status, None)


def test_a_grade_at_the_maximum_length_is_usable():
    assert parse_grade("2", "length") == ("ok", 2)


def test_structured_answers_are_in_the_grammar():
    assert [parse_grade(text, "stop") for text in GRADES] == [("ok", grade) for grade in range(4)]
