"""Candidate lists from search engines: texts, fusion, scores, refused queries, and what is left out."""

import pytest

from actors.data.rows import Outcome, records, table_of
from actors.retrieval import candidate_lists
from actors.retrieval.candidate_lists import CandidateRetriever
from actors.retrieval.engines import incomplete_notes
from actors.retrieval.retrievers import DOCUMENTS, build_bm25
from ranking.records import CandidateList, Document, IncompleteList, Query, QueryCandidates
from ranking.settings import Bm25Settings, CandidateSettings
from ranking.storage.folder import Folder
from tests.testing.search_server import elastic_answer, running_search_server

COLLECTION = [
    Document(doc_id="a", title="Title of a", text="bread rises with yeast"),
    Document(doc_id="b", text="salt melts ice"),
    Document(doc_id="c", text="yeast makes beer"),
]
HITS = [("b", 9.0, {}), ("new", 8.0, {"text": "an unknown text"}), ("a", 7.5, {"text": "shorter a"}), ("gone", 1.0, {})]


@pytest.fixture
def engine():
    """Run a server that answers with `HITS`, refuses queries with `bad`, and finds nothing for `none`."""

    def answer(request, handler):
        query = request.body["q"]
        if "bad" in query:
            return 400, {}, {"error": {"reason": "too many clauses"}}
        hits = [] if "none" in query else [("gone", 1.0, {}), ("lost", 0.5, {})] if "lost" in query else HITS
        return 200, {}, elastic_answer(*hits)

    with running_search_server(answer) as server:
        yield server


@pytest.fixture
def retrieve(engine, tmp_path):
    """Return a function that retrieves queries with BM25 and the engine, and returns the outcomes."""
    index = Folder(tmp_path / "index")
    (index / DOCUMENTS).write_rows("part-0.parquet", COLLECTION)
    build_bm25(COLLECTION, Bm25Settings(), index / "bm25", "english")

    def run(queries, kind=CandidateRetriever, bm25=True, **changes):
        ours = {"kind": "http_search", "name": "ours", "url": engine.url, "body": {"q": "{query}"}}
        retrievers = [{"kind": "bm25"}] * bm25 + [{**ours, "text": "_source.text", **changes}]
        settings = CandidateSettings(retrievers=retrievers, depth=5)
        actor = kind(index, Folder(tmp_path / "vectors"), settings, Folder(tmp_path / "incomplete"))
        batch = table_of([Query(query_id=f"q{n}", text=text) for n, text in enumerate(queries)], Query)
        row = CandidateList if kind is CandidateRetriever else QueryCandidates
        return records(actor(batch), Outcome[row])

    return run


def test_engine_texts_come_before_those_of_the_collection(retrieve, tmp_path):
    (outcome,) = retrieve(["ice"], bm25=False)
    assert [(c.doc_id, c.title, c.text, c.score, c.retriever) for c in outcome.row.candidates] == [
        ("b", "", "salt melts ice", 9.0, "ours"),
        ("new", "", "an unknown text", 8.0, "ours"),
        ("a", "Title of a", "shorter a", 7.5, "ours"),
    ]
    assert list(Folder(tmp_path / "incomplete").read_rows(IncompleteList)) == [
        IncompleteList(query_id="q0", retriever="ours", doc_ids=["gone"])
    ]


def test_without_a_text_path_only_documents_of_the_collection_are_used(retrieve):
    (outcome,) = retrieve(["ice"], bm25=False, text=None)
    assert [(c.doc_id, c.text) for c in outcome.row.candidates] == [
        ("b", "salt melts ice"),
        ("a", "bread rises with yeast"),
    ]


def test_engine_is_fused_with_other_retrievers_by_rank(retrieve):
    (outcome,) = retrieve(["yeast bread"])
    found = {c.doc_id: c for c in outcome.row.candidates}
    assert list(found) == ["a", "b", "c", "new"]
    assert found["a"].retriever == "bm25+ours"
    assert found["a"].score == pytest.approx(1 / 61 + 1 / 63)
    assert found["a"].text == "shorter a"  # one text per document, also in the list of BM25


def test_test_queries_keep_the_list_and_scores_of_each_retriever(retrieve):
    ice, bad = retrieve(["ice", "bad ice"], candidate_lists.TestRetriever)
    lists = {stage.name: [(c.doc_id, c.score) for c in stage.candidates] for stage in ice.row.lists}
    assert lists["ours"] == [("b", 9.0), ("new", 8.0), ("a", 7.5)]
    assert lists["bm25"] == [("b", pytest.approx(1 / 61))]
    assert [doc_id for doc_id, _ in lists["fused"]] == ["b", "new", "a"]
    refused = {stage.name: [c.doc_id for c in stage.candidates] for stage in bad.row.lists}
    assert refused == {"bm25": ["b"], "ours": [], "fused": ["b"]}


def test_refused_and_empty_queries_are_rejected_with_a_reason(retrieve):
    outcomes = retrieve(["ice", "bad", "none", "lost", "bad yeast"])
    assert outcomes[0].rejection is None
    reasons = {outcome.query_id: outcome.rejection.reason for outcome in outcomes[1:]}
    refused = "ours: the engine refuses the query with HTTP 400 (too many clauses)"
    assert reasons == {
        "q1": refused,
        "q2": "no retriever found a document",
        "q3": "ours: none of the 2 documents has a text, and the collection has none of them, such as 'gone'",
        "q4": refused,
    }


def test_notes_count_each_query_once(retrieve, tmp_path):
    folder = Folder(tmp_path / "incomplete")
    assert incomplete_notes(folder) == []
    retrieve(["ice", "bad", "lost"])
    retrieve(["ice", "bad"])  # another division into parts, as after a lost worker
    assert len(folder.names(".parquet")) == 2
    assert incomplete_notes(folder) == [
        "ours: 3 documents of 2 queries are left out, because neither the answer nor the collection has their text; "
        "refused queries: 1; see incomplete/"
    ]


def test_engine_with_texts_needs_no_index(engine, tmp_path):
    ours = {"kind": "http_search", "url": engine.url, "body": {"q": "{query}"}, "text": "_source.text"}
    actor = CandidateRetriever(Folder(tmp_path / "index"), Folder(tmp_path), CandidateSettings(retrievers=[ours]))
    (outcome,) = records(actor(table_of([Query(query_id="q", text="ice")], Query)), Outcome[CandidateList])
    assert [c.doc_id for c in outcome.row.candidates] == ["new", "a"]
