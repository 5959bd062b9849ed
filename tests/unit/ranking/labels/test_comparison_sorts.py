"""Sorts by comparisons: results and number of comparisons with a consistent judge."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.comparison_sorts import sliding_comparisons, sliding_passes, top_of_heap


def slide(quality, passes):
    """Return the order of sliding passes, and the compared pairs."""
    asked = []

    async def better(lower, upper):
        asked.append((lower, upper))
        return quality[lower] > quality[upper]

    return asyncio.run(sliding_passes(len(quality), passes, better)), asked


def heap_top(quality, top, size):
    """Return the documents that the heap finds, and the compared sets."""
    asked = []

    async def best(documents):
        asked.append(list(documents))
        await asyncio.sleep(0)
        return max(range(len(documents)), key=lambda place: quality[documents[place]])

    return asyncio.run(top_of_heap(len(quality), top, size, best)), asked


def test_one_pass_brings_the_best_document_to_the_front():
    order, asked = slide([2, 0, 1, 3], 1)
    assert (order, asked) == ([3, 0, 1, 2], [(3, 2), (3, 1), (3, 0)])


@given(st.permutations(range(9)), st.integers(1, 12))
def test_passes_find_the_best_documents_in_order(quality, passes):
    order, asked = slide(quality, passes)
    expected = sorted(range(9), key=lambda document: -quality[document])
    assert order[: min(passes, 9)] == expected[: min(passes, 9)]
    assert sorted(order) == list(range(9))
    assert len(asked) == sliding_comparisons(9, passes)


@given(st.permutations(range(12)), st.integers(1, 14), st.integers(3, 6))
def test_heap_finds_the_best_documents_in_order(quality, top, size):
    found, asked = heap_top(quality, top, size)
    assert found == sorted(range(12), key=lambda document: -quality[document])[:top]
    assert all(2 <= len(set(documents)) == len(documents) <= size for documents in asked)


def test_heap_needs_fewer_comparisons_than_sliding_passes():
    quality = [(7 * place) % 50 for place in range(50)]
    _, asked = heap_top(quality, 10, 4)
    assert len(asked) < sliding_comparisons(50, 10) / 4


@pytest.mark.parametrize("documents", [1, 2])
def test_short_lists_are_sorted(documents):
    quality = list(range(documents))
    assert slide(quality, 10)[0] == heap_top(quality, 10, 4)[0] == quality[::-1]
