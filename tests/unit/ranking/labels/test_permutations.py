"""Prompt orders and merged answers."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.permutations import agreement, borda, kemeny, prompt_order

LETTERS = list("abcdefghijkl")


def contradicted(order, orders):
    """Count by brute force how many pairwise preferences in `orders` contradict `order`."""
    count = 0
    for above, below in itertools.combinations(order, 2):
        for other in orders:
            places = {doc_id: i for i, doc_id in enumerate(other)}
            if below in places and places[below] < places.get(above, len(other)):
                count += 1
    return count


def test_prompt_orders_are_permutations_determined_by_their_seed():
    first = prompt_order(20, 13, "q1", 1)
    assert sorted(first) == list(range(20))
    assert first == prompt_order(20, 13, "q1", 1)
    others = [prompt_order(20, 14, "q1", 1), prompt_order(20, 13, "q2", 1), prompt_order(20, 13, "q1", 2)]
    assert all(other != first for other in others)


def test_borda_shares_points_of_omitted_documents():
    # a: 3 + 3 + 1 = 7; b: 2 + 1.5 + 3 = 6.5; c: 1 + 1.5 + 2 = 4.5
    assert borda([["a", "b", "c"], ["a"], ["b", "c", "a"]], ["c", "b", "a"]) == ["a", "b", "c"]


def test_kemeny_can_differ_from_borda():
    orders = [["a", "b", "c"]] * 3 + [["b", "c", "a"]] * 2
    assert kemeny(orders, ["a", "b", "c"]) == ["a", "b", "c"]
    assert borda(orders, ["a", "b", "c"]) == ["b", "a", "c"]


def test_agreement_is_the_share_of_preserved_pairs():
    assert agreement([["a", "b", "c"]], ["a", "b", "c"]) == 1.0
    assert agreement([["a", "b", "c"]], ["c", "b", "a"]) == 0.0
    assert agreement([["a", "b"], ["b", "a"]], ["a", "b"]) == 0.5
    assert agreement([[]], ["a", "b"]) == 1.0


@given(
    st.lists(
        st.permutations(LETTERS[:5]).flatmap(lambda p: st.integers(0, 5).map(lambda n: p[:n])), min_size=1, max_size=5
    )
)
def test_kemeny_is_exact_for_few_documents(orders):
    best = min(contradicted(order, orders) for order in itertools.permutations(LETTERS[:5]))
    assert contradicted(kemeny(orders, LETTERS[:5]), orders) == best


@given(st.lists(st.permutations(LETTERS), min_size=1, max_size=6))
def test_kemeny_of_many_documents_is_not_worse_than_borda(orders):
    merged = kemeny(orders, LETTERS)
    assert sorted(merged) == LETTERS
    assert contradicted(merged, orders) <= contradicted(borda(orders, LETTERS), orders)


@pytest.mark.parametrize("merge", [borda, kemeny])
def test_identical_answers_merge_to_themselves(merge):
    order = random.Random(3).sample(LETTERS, 12)
    assert merge([order] * 3, LETTERS) == order
