"""Candidate lists: deduplication, imported lists from Parquet files, TREC runs, exact and approximate dense search."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from actors.data.rows import Outcome, records, table_of
from actors.retrieval.candidate_lists import check_parquet_lists, parquet_lists, without_lists
from actors.retrieval.retrievers import RunRetriever, _exact, _graph, check_run
from ranking.errors import InputError
from ranking.records import Candidate, CandidateList, Query, QueryCandidates
from ranking.retrieval.deduplication import deduplicate
from ranking.settings import CandidateSettings, RunRetrieverSettings

SETTINGS = CandidateSettings(retrievers=[{"kind": "parquet", "path": "lists.parquet"}], depth=3)


def candidates(**texts):
    return [
        Candidate(doc_id=doc_id, title="", text=text, rank=rank, score=1 / rank, retriever="r")
        for rank, (doc_id, text) in enumerate(texts.items(), start=1)
    ]


def outcomes(rows, split="log", settings=SETTINGS):
    row = CandidateList if split == "log" else QueryCandidates
    return records(parquet_lists(pa.Table.from_pylist(rows), split, settings), Outcome[row])


def test_deduplicate_keeps_the_best_of_equal_texts():
    distinct = deduplicate(candidates(a="One text", b="another", c="one  TEXT\n", d="ａｎｏｔｈｅｒ", e="third"))
    assert [(c.doc_id, c.rank, c.duplicates) for c in distinct] == [("a", 1, ["c"]), ("b", 2, ["d"]), ("e", 3, [])]


def test_parquet_lists_keep_order_and_texts():
    entries = [
        {"doc_id": i, "text": f"text {i}", "title": None, "score": score}
        for i, score in enumerate([0.5, 0.5, 0.1, 0.0])
    ]
    (outcome,) = outcomes([{"query_id": 7, "text": "why", "candidates": entries}])
    row = outcome.row
    assert (row.query_id, row.text) == ("7", "why")
    assert [(c.doc_id, c.text, c.rank, c.score, c.retriever) for c in row.candidates] == [
        ("0", "text 0", 1, 0.5, "parquet"),
        ("1", "text 1", 2, 0.5, "parquet"),
        ("2", "text 2", 3, 0.1, "parquet"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "why", "candidates": []}, "parquet: the list of candidates is empty"),
        ({"text": "why", "candidates": None}, "parquet: the list of candidates is empty"),
        ({"text": " ", "candidates": [{"doc_id": "a", "text": "b"}]}, "parquet: the query has no text"),
        ({"text": "why", "candidates": [{"doc_id": "a"}]}, "KeyError 'text'"),
        ({"text": "why", "candidates": [{"doc_id": "a", "text": None}]}, "text: Input should be a valid string"),
    ],
)
def test_malformed_parquet_list_is_rejected_with_a_reason(row, reason):
    (outcome,) = outcomes([{"query_id": "q", **row}])
    assert outcome.row is None
    assert reason in outcome.rejection.reason


def test_first_entry_of_a_repeated_document_is_kept():
    entries = [{"doc_id": i, "text": f"{i} {n}", "score": 1 / n} for n, i in enumerate("abac", start=1)]
    (outcome,) = outcomes([{"query_id": "q", "text": "why", "candidates": entries}], split="test")
    (first, _) = outcome.row.lists
    assert [(c.doc_id, c.text, c.rank, c.score) for c in first.candidates] == [
        ("a", "a 1", 1, 1),
        ("b", "b 2", 2, 1 / 2),
        ("c", "c 4", 3, 1 / 4),
    ]


@pytest.mark.parametrize("scores", [[0.1, 0.9, 0.5], [0.9, None, 0.1]])
def test_increasing_or_missing_scores_are_replaced_by_reciprocal_ranks(scores):
    entries = [{"doc_id": str(n), "text": f"text {n}", "score": score} for n, score in enumerate(scores)]
    (outcome,) = outcomes([{"query_id": "q", "text": "why", "candidates": entries}], split="test")
    (first, _) = outcome.row.lists
    assert [(c.doc_id, c.score) for c in first.candidates] == [("0", 1.0), ("1", 1 / 2), ("2", 1 / 3)]


def test_query_without_list_is_rejected_or_gets_empty_test_lists():
    queries = table_of([Query(query_id="q", text="why")], Query)
    (logged,) = records(without_lists(queries, "log", SETTINGS), Outcome[CandidateList])
    (tested,) = records(without_lists(queries, "test", SETTINGS), Outcome[QueryCandidates])
    assert logged.rejection.reason == "parquet: there is no candidate list for this query"
    assert [(stage.name, stage.candidates) for stage in tested.row.lists] == [
        ("parquet", []),
        ("fused", []),
    ]


def test_check_parquet_lists_reports_missing_and_malformed_files(tmp_path):
    with pytest.raises(InputError, match=r"no \.parquet file found"):
        check_parquet_lists(str(tmp_path))
    pq.write_table(pa.table({"query_id": ["q"], "text": ["why"]}), tmp_path / "lists.parquet")
    with pytest.raises(InputError, match="has no column 'candidates'"):
        check_parquet_lists(str(tmp_path / "lists.parquet"))
    (tmp_path / "lists.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read as a Parquet file"):
        check_parquet_lists(str(tmp_path))


def test_run_retriever_keeps_score_order_and_drops_unknown_documents(tmp_path):
    path = tmp_path / "x.trec"
    path.write_text("q Q0 a 1 1 t\nq Q0 b 2 3 t\nq Q0 c 3 2 t\n")
    retriever = RunRetriever(str(path), ["a", "b"])
    assert retriever.search([Query(query_id="q", text=""), Query(query_id="r", text="")], 5) == [["b", "a"], []]
    with pytest.raises(InputError, match="1 documents are not in collection x, such as 'c'"):
        check_run(RunRetrieverSettings(path=str(path)), {"a", "b"}, "x")


def test_approximate_search_finds_over_95_percent_of_exact_results():
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact, graph = _exact(vectors)(vectors[:50], 10), _graph(vectors)(vectors[:50], 10)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), graph.tolist(), strict=True)])
    assert shared > 0.95
    assert (graph[:, 0] == np.arange(50)).all()


@pytest.mark.parametrize(
    ("retrievers", "message"),
    [
        (
            [{"kind": "run", "path": "a/x.trec"}, {"kind": "run", "path": "b/x.trec"}],
            "retriever names must be unique, but are x, x",
        ),
        ([{"kind": "parquet", "path": "a"}, {"kind": "bm25"}], "must be the only one"),
    ],
)
def test_invalid_retriever_combinations_are_refused(retrievers, message):
    with pytest.raises(ValidationError, match=message):
        CandidateSettings(retrievers=retrievers)
