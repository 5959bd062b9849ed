"""Candidate lists: documents that say the same, lists that arrive with their texts, runs, and two ways of dense search."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from actors.data.rows import CandidateList, Outcome, QueryCandidates, records, table_of
from actors.retrieval.candidate_lists import check_given, given_lists, without_lists
from actors.retrieval.retrievers import RunRetriever, _exact, _graph, check_run
from ranking.errors import InputError
from ranking.records import Candidate, Query
from ranking.retrieval.deduplication import deduplicate
from ranking.settings import CandidateSettings, RunRetrieverSettings

GIVEN = CandidateSettings(retrievers=[{"kind": "parquet", "path": "lists.parquet"}], depth=3)


def candidates(**texts):
    return [
        Candidate(doc_id=doc_id, title="", text=text, rank=rank, score=1 / rank, retriever="r")
        for rank, (doc_id, text) in enumerate(texts.items(), start=1)
    ]


def outcomes(rows, split="log", settings=GIVEN):
    return records(given_lists(pa.Table.from_pylist(rows), split, settings), Outcome)


def test_the_best_of_equal_texts_stands_for_all():
    duplicates = deduplicate(candidates(a="One text", b="another", c="one  TEXT\n", d="ａｎｏｔｈｅｒ", e="third"))
    assert [(c.doc_id, c.rank, c.duplicates) for c in duplicates] == [("a", 1, ["c"]), ("b", 2, ["d"]), ("e", 3, [])]


def test_given_lists_keep_their_order_and_their_texts():
    held = [
        {"doc_id": i, "text": f"text {i}", "title": None, "score": score}
        for i, score in enumerate([0.5, 0.5, 0.1, 0.0])
    ]
    (outcome,) = outcomes([{"query_id": 7, "text": "why", "candidates": held}])
    row = CandidateList.model_validate_json(outcome.row)
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
def test_what_a_given_row_lacks_is_the_reason_of_its_rejection(row, reason):
    (outcome,) = outcomes([{"query_id": "q", **row}])
    assert outcome.row is None
    assert reason in outcome.rejection.reason


def test_of_a_document_that_stands_twice_the_first_counts():
    held = [{"doc_id": i, "text": f"{i} {n}", "score": 1 / n} for n, i in enumerate("abac", start=1)]
    (outcome,) = outcomes([{"query_id": "q", "text": "why", "candidates": held}], split="test")
    (first, _) = QueryCandidates.model_validate_json(outcome.row).lists
    assert [(c.doc_id, c.text, c.rank, c.score) for c in first.candidates] == [
        ("a", "a 1", 1, 1),
        ("b", "b 2", 2, 1 / 2),
        ("c", "c 4", 3, 1 / 4),
    ]


@pytest.mark.parametrize("scores", [[0.1, 0.9, 0.5], [0.9, None, 0.1]])
def test_scores_that_rise_down_a_given_list_or_lack_give_way_to_the_places_in_it(scores):
    held = [{"doc_id": str(n), "text": f"text {n}", "score": score} for n, score in enumerate(scores)]
    (outcome,) = outcomes([{"query_id": "q", "text": "why", "candidates": held}], split="test")
    (first, _) = QueryCandidates.model_validate_json(outcome.row).lists
    assert [(c.doc_id, c.score) for c in first.candidates] == [("0", 1.0), ("1", 1 / 2), ("2", 1 / 3)]


def test_a_query_without_a_list_is_rejected_or_has_empty_lists_in_the_test():
    queries = table_of([Query(query_id="q", text="why")], Query)
    (logged,) = records(without_lists(queries, "log", GIVEN), Outcome)
    (tested,) = records(without_lists(queries, "test", GIVEN), Outcome)
    assert logged.rejection.reason == "parquet: the query is not among the lists"
    assert [(one.name, one.candidates) for one in QueryCandidates.model_validate_json(tested.row).lists] == [
        ("parquet", []),
        ("fused", []),
    ]


def test_parquet_is_checked_before_anything_starts(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.parquet file"):
        check_given(str(tmp_path))
    pq.write_table(pa.table({"query_id": ["q"], "text": ["why"]}), tmp_path / "lists.parquet")
    with pytest.raises(InputError, match="lacks column 'candidates'"):
        check_given(str(tmp_path / "lists.parquet"))
    (tmp_path / "lists.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="no parquet file that can be read"):
        check_given(str(tmp_path))


def test_a_run_gives_its_own_order_without_documents_that_have_no_text(tmp_path):
    path = tmp_path / "x.trec"
    path.write_text("q Q0 a 1 1 t\nq Q0 b 2 3 t\nq Q0 c 3 2 t\n")
    retriever = RunRetriever(str(path), ["a", "b"])
    assert retriever.search([Query(query_id="q", text=""), Query(query_id="r", text="")], 5) == [["b", "a"], []]
    with pytest.raises(InputError, match="1 documents are not in collection x, one of them 'c'"):
        check_run(RunRetrieverSettings(path=str(path)), {"a", "b"}, "x")


def test_the_graph_finds_nearly_all_that_exact_search_finds():
    pytest.importorskip("faiss")
    dice = np.random.default_rng(0)
    vectors = dice.normal(size=(2000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact, graph = _exact(vectors)(vectors[:50], 10), _graph(vectors)(vectors[:50], 10)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), graph.tolist(), strict=True)])
    assert shared > 0.95
    assert (graph[:, 0] == np.arange(50)).all()


@pytest.mark.parametrize(
    ("retrievers", "message"),
    [
        ([{"kind": "run", "path": "a/x.trec"}, {"kind": "run", "path": "b/x.trec"}], "a name of its own, not x, x"),
        ([{"kind": "parquet", "path": "a"}, {"kind": "bm25"}], "stands alone"),
    ],
)
def test_retrievers_that_do_not_go_together(retrievers, message):
    with pytest.raises(ValidationError, match=message):
        CandidateSettings(retrievers=retrievers)
