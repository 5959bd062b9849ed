"""Collections with generated queries, and folders that consist only of documents."""

import json

import pytest

from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.collections.generated import before_generation, with_generated_queries
from ranking.errors import InputError
from ranking.records import Document, GeneratedQuery, Query


def row(query_id, doc_id, split="log", status="ok"):
    return GeneratedQuery(
        query_id=query_id,
        text=f"text {query_id}",
        doc_id=doc_id,
        style="question",
        status=status,
        split=split,
        generator="model",
    )


ROWS = [row("g3", "d2", "test"), row("g1", "d1"), row("g2", "d1"), row("g4", "d3", status="copied")]


@pytest.fixture
def collection():
    return Collection("c", "f", [Document(doc_id="d1", text="x")], [Query(query_id="q1", text="old")], [], {})


def test_generated_queries_replace_the_log_and_held_out_ones_are_tested(collection):
    made = with_generated_queries(collection, ROWS, "new", 20)
    assert (made.fingerprint, made.name, made.documents) == ("new", "c", collection.documents)
    assert [query.query_id for query in made.log] == ["g1", "g2"]
    assert [(query.query_id, query.text) for query in made.test] == [("g3", "text g3")]
    assert made.qrels == {"g3": {"d2": 1}}
    assert made.split_name("test") == "generated test"
    assert made.generated.training_note() == ("The 2 queries to label were generated from 1 documents by model.")
    assert "single known relevant document" in made.generated.test_warning()
    assert "first 20 candidates" in made.generated.test_warning()
    without_filter = with_generated_queries(collection, ROWS, "new", None)
    assert "candidates" not in without_filter.generated.test_warning()


def test_judged_test_queries_stay(collection):
    collection.test, collection.qrels = [Query(query_id="t", text="real")], {"t": {"d1": 2}}
    made = with_generated_queries(collection, [row("g1", "d1")], "new", 20)
    assert ([query.query_id for query in made.test], made.qrels) == (["t"], {"t": {"d1": 2}})
    assert made.split_name("test") == "test"
    assert made.generated.test_warning() is None


def test_folder_with_only_documents_is_a_collection_without_queries(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "text": "words"}) + "\n")
    read = beir.read(tmp_path, "test")
    assert (len(read.documents), read.log, read.test) == (1, [], [])
    assert beir.NO_QUERIES in read.notes
    assert before_generation(read).notes == []
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "text": "other"}) + "\n")
    assert beir.read(tmp_path, "test").fingerprint != read.fingerprint


def test_judgements_without_queries_are_an_error(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "text": "words"}) + "\n")
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\n")
    with pytest.raises(InputError, match=r"queries\.jsonl: the file cannot be read"):
        beir.read(tmp_path, "test")
