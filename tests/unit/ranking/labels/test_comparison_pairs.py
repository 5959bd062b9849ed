"""Pairs to compare: all of them, or a sparse connected graph."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.comparison_pairs import all_pairs, sparse_pairs


def connected(documents, pairs):
    """Return whether the pairs connect all documents."""
    reached, added = {0}, {0}
    while added:
        added = {b for pair in pairs for a, b in (pair, pair[::-1]) if a in reached} - reached
        reached |= added
    return len(reached) == documents


def test_all_pairs_have_the_smaller_index_first():
    assert all_pairs(3) == [(0, 1), (0, 2), (1, 2)]
    assert all_pairs(1) == []


@given(st.integers(1, 30), st.integers(2, 12), st.text(max_size=3))
def test_sparse_pairs_are_distinct_connected_and_evenly_spread(documents, per_document, seed):
    pairs = sparse_pairs(documents, per_document, seed)
    assert len(set(pairs)) == len(pairs) == min(math.ceil(documents * per_document / 2), math.comb(documents, 2))
    assert all(0 <= one < other < documents for one, other in pairs)
    assert connected(documents, pairs)
    degrees = [sum(document in pair for pair in pairs) for document in range(documents)]
    assert max(degrees) <= per_document + 1
    assert min(degrees) >= min(per_document, documents - 1) - 1


@pytest.mark.parametrize("documents", [10, 50])
def test_graph_depends_on_the_seed_only(documents):
    assert sparse_pairs(documents, 4, "q1") == sparse_pairs(documents, 4, "q1")
    assert sparse_pairs(documents, 4, "q1") != sparse_pairs(documents, 4, "q2")
