"""Answers that choose a document by its letter."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.choice_answers import read_choice, read_log_probabilities, write_log_probabilities


@pytest.mark.parametrize(
    ("raw", "status", "best"),
    [
        ("A", "ok", 0),
        (" B\n", "ok", 1),
        ("[B]", "ok", 1),
        ("(A).", "ok", 0),
        ("**B**", "ok", 1),
        ("<answer>A</answer>", "ok", 0),
        ("b", "prose", 1),
        ("Document B", "prose", 1),
        ("Answer: A.", "prose", 0),
        ("The best document is B", "prose", 1),
        ("<think>A or B?</think>B", "thinking", 1),
    ],
)
def test_letter_is_read(raw, status, best):
    parsed = read_choice(raw, 2)
    assert (parsed.parse_status, parsed.best, sum(parsed.shares)) == (status, best, 1.0)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("", "empty"),
        ("C", "out_of_range"),
        ("A or B", "prose"),
        ("AB", "prose"),
        ("A passage about copper", "prose"),
        ("Document A is worse than B", "prose"),
        ("I cannot decide.", "refused"),
        ("<think>A", "prose"),
        ("\u212a", "prose"),
    ],
)
def test_answer_without_a_single_letter_is_unusable(raw, status):
    parsed = read_choice(raw, 2)
    assert (parsed.parse_status, parsed.shares) == (status, ())


def test_cut_off_text_is_truncated_but_a_single_letter_is_not():
    assert read_choice("The documents both", 2, "length").parse_status == "truncated"
    assert read_choice("B", 2, "length").parse_status == "ok"


@given(st.text(max_size=20), st.integers(2, 26))
def test_any_text_has_a_status(raw, documents):
    parsed = read_choice(raw, documents)
    assert len(parsed.shares) in (0, documents)


def test_log_probabilities_become_shares():
    parsed = read_log_probabilities(write_log_probabilities([math.log(0.3), math.log(0.1)]))
    assert parsed.shares == pytest.approx((0.75, 0.25))
    assert (parsed.parse_status, parsed.best) == ("ok", 0)
    assert read_log_probabilities(write_log_probabilities([-math.inf, -1.0])).shares == (0.0, 1.0)
    assert read_log_probabilities(write_log_probabilities([-math.inf, -math.inf])).parse_status == "empty"
