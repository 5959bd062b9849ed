"""The sliding window: ranges of the steps, and the order after a step."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.windows import reorder_after_window, windows


@pytest.mark.parametrize(
    ("documents", "places"),
    [
        (0, [(0, 0)]),
        (20, [(0, 20)]),
        (21, [(1, 21), (0, 20)]),
        (50, [(30, 50), (20, 40), (10, 30), (0, 20)]),
    ],
)
def test_windows_overlap_from_tail_to_head(documents, places):
    assert windows(documents, 20, 10) == places


@given(st.integers(1, 200), st.integers(2, 30), st.data())
def test_windows_cover_every_position(documents, size, data):
    stride = data.draw(st.integers(1, size))
    places = windows(documents, size, stride)
    assert {place for start, end in places for place in range(start, end)} == set(range(documents))
    assert places[0][1] == documents
    assert places[-1][0] == 0
    assert all(first[0] > second[0] and second[1] >= first[0] for first, second in itertools.pairwise(places))


def test_omitted_documents_keep_their_order_after_listed_ones():
    assert reorder_after_window([7, 5, 3, 1, 2], 1, 4, [1, 5]) == [7, 1, 5, 3, 2]
    assert reorder_after_window([7, 5, 3, 1, 2], 1, 4, []) == [7, 5, 3, 1, 2]
