"""Latency measurement: lists of fifty documents, each measured once after a warm-up."""

import pytest

from actors.scoring.latency import WARM_UP, documents_per_second, measure_seconds, without_warm_up
from ranking.records import Candidate, CandidateList, NamedList, QueryCandidates
from ray_jobs.evaluation.systems import DOCUMENTS, QUERIES, lists_to_time


def row_of(number, documents):
    candidates = [
        Candidate(doc_id=f"d{n}", title="", text=f"text {n}", rank=rank, score=0.0, retriever="bm25")
        for rank, n in enumerate(documents, start=1)
    ]
    return QueryCandidates(query_id=f"q{number}", text="query", lists=[NamedList(name="bm25", candidates=candidates)])


@pytest.mark.parametrize("documents", [3, 49, 50, 200])
def test_timed_lists_have_fifty_distinct_documents_own_ones_first(documents):
    rows = [row_of(n, [(7 * n + k) % documents for k in range(min(20, documents))]) for n in range(60)]
    lists = lists_to_time(rows, ["bm25"])
    assert len(lists) == QUERIES
    for row, timed in zip(rows, lists, strict=False):
        ids = [candidate.doc_id for candidate in timed.candidates]
        assert len(ids) == len(set(ids)) == DOCUMENTS
        own = [candidate.doc_id for candidate in row.of("bm25")]
        assert ids[: len(own)] == own


def test_no_candidates_give_no_timed_lists():
    assert lists_to_time([row_of(1, [])], ["bm25"]) == []


def test_each_input_runs_once_and_warm_up_is_not_measured():
    inputs = []
    seconds = measure_seconds(inputs.append, list(range(10)))
    assert inputs == list(range(10))
    assert len(seconds) == 10 - WARM_UP
    assert list(without_warm_up([1, 2])) == [1, 2]
    lists = [CandidateList(query_id="q", text="t", candidates=row_of(1, range(5)).of("bm25"))] * 10
    assert documents_per_second([1.0] * 7, lists) == pytest.approx(5.0)
