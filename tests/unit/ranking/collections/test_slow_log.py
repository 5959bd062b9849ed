"""The user's query in the request bodies of slow logs."""

import json

import pytest

from ranking.collections.slow_log import query_of_request

RED = "red shoes"


@pytest.mark.parametrize(
    "query",
    [
        {"match": {"title": RED}},
        {"match": {"title": {"query": RED, "operator": "and"}}},
        {"match": {"query": {"query": RED}}},
        {"multi_match": {"query": RED, "fields": ["title", "body"], "type": "best_fields"}},
        {"query_string": {"query": RED, "default_field": "title"}},
        {"bool": {"must": [{"match": {"title": RED}}], "filter": [{"match": {"brand": "acme"}}]}},
        {
            "bool": {
                "should": [{"match": {"title": RED}}, {"match_phrase": {"body": RED}}],
                "must_not": {"match": {"a": "b"}},
            }
        },
        {"function_score": {"query": {"match": {"title": RED}}, "functions": [{"filter": {"match": {"x": "y"}}}]}},
        {"nested": {"path": "p", "query": {"match": {"p.title": RED}}}},
        {
            "hybrid": {
                "queries": [{"match": {"title": RED}}, {"neural": {"vector": {"query_text": RED, "model_id": "m"}}}]
            }
        },
        {"semantic": {"field": "title", "query": RED}},
        {"text_expansion": {"tokens": {"model_id": "m", "model_text": RED}}},
    ],
)
def test_text_of_a_full_text_clause_is_the_query(query):
    body = {"size": 10, "query": query}
    assert query_of_request(json.dumps(body)) == (RED, "")
    assert query_of_request(body) == (RED, "")


def test_query_of_a_retriever_and_of_an_escaped_body_are_read():
    body = json.dumps({"retriever": {"standard": {"query": {"match": {"title": RED}}}}})
    assert query_of_request(body) == (RED, "")
    assert query_of_request(json.dumps(body)[1:-1]) == (RED, "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('{"query": {"match_all": {}}}', "without a query"),
        ('{"query": {"term": {"title": "red"}}}', "without a query"),
        ('{"query": {"match": {"title": 5}}}', "without a query"),
        ('{"size": 0}', "without a query"),
        ('{"query": {"bool": {"must": [{"match": {"a": "x"}}, {"match": {"b": "y"}}]}}}', "with several query texts"),
        ('{"query": {"mat', "whose source is not a JSON object"),
        ("[1]", "whose source is not a JSON object"),
        ('{"query":' + '{"bool":' * 100_000, "whose source is not a JSON object"),
    ],
)
def test_request_without_one_query_gives_the_reason(source, reason):
    assert query_of_request(source) == (None, reason)
