"""Counting the spelling variants of each query, and merging near-duplicate queries."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.selection.near_duplicates import (
    QueryForm,
    count_distinct,
    deduplication_key,
    merge_near_duplicates,
)
from ranking.selection.query_text import normalise, query_id_of


def key(text):
    return deduplication_key(normalise(text))


@pytest.mark.parametrize(
    "texts",
    [
        ("how do I sort a list", "Sort lists?", "sorting list", "how to sort the list", "list sort"),
        ("os.path.join", "join os path"),
        ("리스트 정렬 파이썬", "파이썬 리스트 정렬"),
        ("read a file without newline", "without newline read file"),
    ],
)
def test_near_duplicates_have_the_same_key(texts):
    assert len({key(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("convert list to string", "convert string to list"),
        ("read file with newline", "read file without newline"),
        ("c", "c++"),
        ("a > b", "a < b"),
        ("리스트 정렬", "문자열 정렬"),
        ("what is this", "how are you"),
    ],
)
def test_different_queries_have_different_keys(one, other):
    assert key(one) != key(other)


def test_query_of_plain_words_keeps_them_in_its_key():
    assert key("what is this") == "is\nthis\nwhat"
    assert key("") == ""


FORMS = [
    QueryForm("JSON dumps", 2, "b"),
    QueryForm("json dumps", 3, "c"),
    QueryForm("json dumps", 1, "a"),
    QueryForm("json dump", 5),
    QueryForm("문자열 나누기", 1),
    QueryForm("문자열  나누기?", 1),
    QueryForm("???", 4),
]


def test_counting_and_merging_match_hand_computed_values():
    counted = count_distinct(FORMS)
    assert {normal: (form.query_id, form.text, form.frequency) for normal, form in counted.items()} == {
        "json dumps": ("a", "json dumps", 6),
        "json dump": (query_id_of("json dump"), "json dump", 5),
        "문자열 나누기": (query_id_of("문자열 나누기"), "문자열  나누기?", 2),
        "": (query_id_of(""), "???", 4),
    }
    queries = {query.text: query for query in merge_near_duplicates(counted)}
    assert set(queries) == {"json dumps", "문자열  나누기?", "???"}
    assert queries["json dumps"].frequency == 11
    assert [(form.text, form.frequency) for form in queries["json dumps"].duplicates] == [("json dump", 5)]


TEXTS = st.lists(st.sampled_from(["sort", "sorts", "List", "a", "to", "리스트", "정렬", "?", "x.y"]), max_size=4).map(
    " ".join
)
MANY = st.lists(st.builds(QueryForm, TEXTS, st.integers(1, 9), st.none() | st.sampled_from("abc")), max_size=20)


@given(MANY, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_frequencies_are_preserved(forms, rng):
    shuffled = list(forms)
    random.Random(rng.random()).shuffle(shuffled)
    queries = merge_near_duplicates(count_distinct(forms))
    assert merge_near_duplicates(count_distinct(shuffled)) == queries
    assert sum(query.frequency for query in queries) == sum(form.frequency for form in forms)
    assert sum(1 + len(query.duplicates) for query in queries) == len({normalise(form.text) for form in forms})


@given(MANY, st.integers(1, 4))
def test_adding_up_forms_in_pieces_gives_the_same_result(forms, pieces):
    summed = []
    for piece in range(pieces):
        parts = {}
        for form in forms[piece::pieces]:
            parts[form.text, form.query_id] = parts.get((form.text, form.query_id), 0) + form.frequency
        summed += [QueryForm(text, frequency, query_id) for (text, query_id), frequency in parts.items()]
    expected = merge_near_duplicates(count_distinct(forms))
    assert merge_near_duplicates(count_distinct(summed)) == expected
