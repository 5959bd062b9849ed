"""The round-trip filter on a BM25 index, and near-duplicates in partitions. Without Ray."""

import pytest

from actors.data.rows import Outcome, records, table_of
from actors.generators.duplicate_queries import count_statuses, count_written, mark_partition, partition_queries
from actors.generators.round_trip import RoundTripFilter, texts_to_search
from actors.retrieval.retrievers import DOCUMENTS, build_bm25
from ranking.records import Document, DocumentQueries, GeneratedQuery, WrittenQuery
from ranking.settings import Bm25Settings, CandidateSettings
from ranking.storage.folder import Folder
from tests.testing.facts import FACTS

SETTINGS = CandidateSettings(retrievers=[{"kind": "bm25"}], depth=5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Index the facts, a twin of the first one under another id, and two documents about salt."""
    folder = Folder(tmp_path_factory.mktemp("index"))
    texts = [*FACTS, ("a0", FACTS[0][1]), ("c1", "Salt salt winter roads."), ("c2", "Winter roads with salt.")]
    documents = [Document(doc_id=doc_id, text=text) for doc_id, text in texts]
    (folder / DOCUMENTS).write_rows("part-a.parquet", documents)
    build_bm25(documents, Bm25Settings(), folder / "bm25", "english")
    return folder


def row(doc_id, *queries):
    written = [
        WrittenQuery(query_id=f"{doc_id}-{n}", text=text, style="question", status=status)
        for n, (text, status) in enumerate(queries, start=1)
    ]
    return DocumentQueries(query_id=doc_id, doc_id=doc_id, queries=written, generator="g")


def checked(index, depth, *rows, settings=SETTINGS):
    filtered = RoundTripFilter(index, index / "vectors", settings, depth)
    outcomes = records(filtered(table_of(rows, DocumentQueries)), Outcome[DocumentQueries])
    return [[(query.rank, query.status) for query in outcome.row.queries] for outcome in outcomes]


def test_queries_that_do_not_find_their_document_fail(index):
    rows = [
        row("b1", ("insects at night", "ok"), ("moon tides", "ok"), ("bats", "copied"), ("bats echo", "ok")),
        row("a6", ("what pulls the oceans", "ok")),
    ]
    assert checked(index, 1, *rows) == [
        [(1, "ok"), (None, "failed_round_trip"), (None, "copied"), (1, "ok")],
        [(1, "ok")],
    ]


def test_document_must_be_among_the_first_candidates(index):
    query = row("b3", ("salt on winter roads", "ok"))
    ((rank, status),) = checked(index, 2, query)[0]
    assert (rank, status) == (3, "failed_round_trip")
    assert checked(index, 3, query) == [[(3, "ok")]]
    shallow = SETTINGS.model_copy(update={"depth": 2})
    assert checked(index, 3, query, settings=shallow) == [[(3, "ok")]]


def test_document_with_the_same_text_counts_as_the_document(index):
    assert checked(index, 1, row("a0", ("copper wires", "ok"))) == checked(index, 1, row("a1", ("copper wires", "ok")))
    assert checked(index, 1, row("a1", ("copper wires", "ok"))) == [[(1, "ok")]]


def test_rows_without_usable_queries_need_no_search(index):
    assert checked(index, 1, row("b1", ("bats", "copied"))) == [[(None, "copied")]]
    assert texts_to_search([row("b1", ("bats", "copied"), ("echo", "ok"))]) == ["echo"]


def test_near_duplicates_are_in_one_partition_and_marked(tmp_path):
    rows = [
        row("b1", ("how do bats hunt", "ok"), ("moon tides", "ok")),
        row("a6", ("How does a bat hunt?", "ok"), ("bats", "copied")),
    ]
    (Folder(tmp_path) / "written").write_rows("part-a.parquet", rows)
    assert count_written(Folder(tmp_path) / "written") == 4
    table = partition_queries(table_of(rows, DocumentQueries), partitions=64, fraction=0.0, seed=13, language="english")
    place = dict(zip(table["text"].to_pylist(), table["partition"].to_pylist(), strict=True))
    assert place["how do bats hunt"] == place["How does a bat hunt?"] != place["moon tides"]
    outcomes = []
    for partition in set(place.values()):
        part = table.filter([value == partition for value in table["partition"].to_pylist()])
        outcomes += records(mark_partition(part, seed=13, language="english"), Outcome[GeneratedQuery])
    queries = [outcome.row for outcome in outcomes]
    assert all(outcome.query_id == outcome.row.query_id for outcome in outcomes)
    (Folder(tmp_path) / "queries").write_rows("part-a.parquet", queries)
    assert count_statuses(Folder(tmp_path) / "queries") == {"ok": 2, "copied": 1, "duplicate": 1}
