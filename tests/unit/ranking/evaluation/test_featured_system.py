"""The queries on which the featured system loses most."""

import pytest

from ranking.evaluation.comparison import measure
from ranking.evaluation.featured_system import worse_queries
from tests.testing.kitchen_collection import QUERIES, SETTINGS, kitchen_collection, system

VALUES = [
    *(("bm25", "RR@10", query_id, value) for query_id, value in (("q1", 0.5), ("q2", 1.0), ("q3", 0.5), ("q4", 1.0))),
    *(("rra@bm25", "RR@10", key, value) for key, value in (("q1", 0.25), ("q2", 0.1), ("q3", 0.5), ("q4", 0.75))),
    ("rra@bm25", "nDCG@10", "q3", 0.0),
    ("bm25", "nDCG@10", "q3", 1.0),
]


@pytest.fixture
def metrics():
    systems = [
        system("first_stage", "bm25", ["d1", "d2", "d3"]),
        system("student", "rra", ["d2", "d1", "d3"], candidates="bm25"),
    ]
    return measure(kitchen_collection(), systems, SETTINGS)[0]


def ids(worse):
    return [query.query_id for query in worse.queries]


def test_largest_loss_on_the_first_measure_comes_first(metrics):
    worse = worse_queries(metrics, "bm25", VALUES, QUERIES, 10)
    assert (worse.system, worse.baseline, worse.measure) == ("rra@bm25", "bm25", "RR@10")
    assert ids(worse) == ["q2", "q1", "q4"]  # losses of 0.9, 0.25 and 0.25; q3 is unchanged
    assert (worse.queries[0].baseline, worse.queries[0].system) == (1.0, 0.1)


def test_count_and_unknown_queries_limit_the_list(metrics):
    assert ids(worse_queries(metrics, "bm25", VALUES, QUERIES, 1)) == ["q2"]
    assert ids(worse_queries(metrics, "bm25", VALUES, {"q4": "yeast?"}, 10)) == ["q4"]


def test_a_single_system_has_no_worse_queries():
    alone, _ = measure(kitchen_collection(), [system("first_stage", "bm25", ["d1", "d2", "d3"])], SETTINGS)
    assert worse_queries(alone, "bm25", VALUES, QUERIES, 10) is None
