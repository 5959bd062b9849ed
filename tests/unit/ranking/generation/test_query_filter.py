"""Sampled documents, and the split of generated queries by document without near-duplicates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.generation.generated_ids import document_key, generated_id, split_key
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.passage_sampling import sample_passages
from ranking.generation.query_filter import flatten, is_held_out, key_of, mark_duplicates
from ranking.records import Document, DocumentQueries, GeneratedQuery, WrittenQuery
from ranking.selection.validation_split import is_validation


def written(doc_id, *texts, status="ok"):
    key = document_key(doc_id)
    queries = [
        WrittenQuery(query_id=generated_id(key, number), text=text, style="question", status=status)
        for number, text in enumerate(texts, start=1)
    ]
    return DocumentQueries(query_id=key, doc_id=doc_id, queries=queries, generator="g")


def documents(count):
    return [Document(doc_id=f"d{n}", title=f"Title {n}", text="five words of text each") for n in range(count)]


def sampled(collection, seed=13, only=None, **settings):
    settings = RecordedGenerationSettings(path="-", min_document_terms=4, **settings)
    return [passage.doc_id for passage in sample_passages(collection, settings, seed, only)]


def test_sample_has_the_size_and_does_not_depend_on_the_order():
    everything = sampled(documents(50), documents=None)
    some = sampled(documents(50), documents=20)
    assert (len(set(everything)), len(set(some))) == (50, 20)
    assert some == sampled(documents(50)[::-1], documents=20)
    assert set(some) != set(sampled(documents(50), seed=14, documents=20))
    assert set(some) > set(sampled(documents(50), documents=10))


def test_short_repeated_and_other_documents_are_not_sampled():
    twins = [Document(doc_id=doc_id, text="the same text in both") for doc_id in ("b", "a")]
    short = Document(doc_id="short", text="three words only")
    passages = sample_passages(
        [*twins, short], RecordedGenerationSettings(path="-", min_document_terms=4), 13, only=None
    )
    assert [(one.doc_id, one.text) for one in passages] == [("a", "the same text in both")]
    assert sampled(documents(5), only={"d1", "d3", "d9"}) == sorted(["d1", "d3"], key=document_key)


@given(st.lists(st.text(), unique=True, max_size=30), st.floats(0, 1), st.integers())
def test_queries_of_a_document_are_in_one_split(doc_ids, fraction, seed):
    rows = [written(doc_id, f"first {doc_id}", f"second {doc_id}") for doc_id in doc_ids]
    queries = flatten(rows, fraction, seed)
    assert len(queries) == 2 * len(doc_ids)
    for first, second in zip(queries[::2], queries[1::2], strict=True):
        assert (first.doc_id, first.split) == (second.doc_id, second.split)
        assert is_validation(first.query_id, fraction, seed) == is_validation(second.query_id, fraction, seed)


def test_shares_of_documents_are_close_to_the_fractions():
    keys = [document_key(f"d{n}") for n in range(4000)]
    tested = {key for key in keys if is_held_out(key, 0.25, 13)}
    validation = {key for key in keys if is_validation(generated_id(key, 1), 0.25, 13)}
    assert 900 < len(tested) < 1100
    assert 900 < len(validation) < 1100
    assert 150 < len(tested & validation) < 350  # the two choices are independent
    assert not any(is_held_out(key, 0.0, 13) for key in keys)


@pytest.mark.parametrize("query_id", ["q1", "generated-1", "generated-00112233445566aa", "generated-0011-22", ""])
def test_ids_of_a_log_are_their_own_split_key(query_id):
    assert split_key(query_id) == query_id


def test_one_of_several_near_duplicates_remains():
    queries = flatten([written("a", "how do bats hunt?", "bat food"), written("b", "How does a bat hunt")], 0.0, 13)
    assert len({key_of(query) for query in queries}) == 2
    marked = mark_duplicates(queries, 13)
    assert sorted(query.status for query in marked) == ["duplicate", "ok", "ok"]
    assert {query.query_id: query.status for query in mark_duplicates(queries[::-1], 13)} == {
        query.query_id: query.status for query in marked
    }


@pytest.mark.parametrize("seed", range(5))
def test_test_query_remains_rather_than_a_training_query(seed):
    log, test = flatten([written("a", "how do bats hunt"), written("b", "how do bats hunt?")], 0.0, 13)
    test = test.model_copy(update={"split": "test"})
    assert [query.status for query in mark_duplicates([log, test], seed)] == ["duplicate", "ok"]


def test_unusable_queries_keep_their_status_and_hide_no_others():
    failed = flatten([written("a", "how do bats hunt", status="failed_round_trip")], 0.0, 13)
    usable = flatten([written("b", "how do bats hunt")], 0.0, 13)
    assert [query.status for query in mark_duplicates([*failed, *usable], 13)] == ["failed_round_trip", "ok"]


def test_flattened_query_has_document_rank_and_generator():
    row = written("a", "how do bats hunt")
    row.queries[0].rank = 3
    assert flatten([row], 1.0, 13) == [
        GeneratedQuery(
            query_id=f"{document_key('a')}-1",
            text="how do bats hunt",
            doc_id="a",
            style="question",
            status="ok",
            split="test",
            rank=3,
            generator="g",
        )
    ]
