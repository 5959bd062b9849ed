"""What is timed: lists of fifty documents, each once, and only what no memory holds."""

import pytest

from actors.data.rows import CandidateList, NamedList, QueryCandidates
from actors.scoring.latency import WARM_UP, counted, rate_of, seconds_of
from ranking.records import Candidate
from ray_jobs.evaluation.systems import DOCUMENTS, QUERIES, lists_to_time


def row_of(number, documents):
    held = [
        Candidate(doc_id=f"d{n}", title="", text=f"text {n}", rank=rank, score=0.0, retriever="bm25")
        for rank, n in enumerate(documents, start=1)
    ]
    return QueryCandidates(query_id=f"q{number}", text="query", lists=[NamedList(name="bm25", candidates=held)])


@pytest.mark.parametrize("documents", [3, 49, 50, 200])
def test_each_list_has_fifty_documents_its_own_first_and_none_twice(documents):
    rows = [row_of(n, [(7 * n + k) % documents for k in range(min(20, documents))]) for n in range(60)]
    lists = lists_to_time(rows, ["bm25"])
    assert len(lists) == QUERIES
    for row, timed in zip(rows, lists, strict=False):
        ids = [candidate.doc_id for candidate in timed.candidates]
        assert len(ids) == len(set(ids)) == DOCUMENTS
        own = [candidate.doc_id for candidate in row.of("bm25")]
        assert ids[: len(own)] == own


def test_nothing_to_time():
    assert lists_to_time([row_of(1, [])], ["bm25"]) == []


def test_what_is_timed_was_not_asked_before():
    asked = []
    seconds = seconds_of(asked.append, list(range(10)))
    assert asked == list(range(10))
    assert len(seconds) == 10 - WARM_UP
    assert list(counted([1, 2])) == [1, 2]
    lists = [CandidateList(query_id="q", text="t", candidates=row_of(1, range(5)).of("bm25"))] * 10
    assert rate_of([1.0] * 7, lists) == pytest.approx(5.0)
