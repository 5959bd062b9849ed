"""Hits in the answers of search engines: layouts of several engines, and answers that are not as configured."""

import pytest

from ranking.engine_settings import HttpSearchSettings
from ranking.retrieval.engine_hits import (
    AnswerError,
    EngineHit,
    hits_of_answer,
    hits_of_rows,
    partial_problem,
    usable_scores,
)
from tests.testing.search_server import elastic_answer

ELASTIC = {"text": "_source.text", "title": "_source.title"}
SOLR = {"hits": "response.docs", "id": "id", "text": "body.0", "score": "score"}
VESPA = {
    "hits": "root.children",
    "total": "root.fields.totalCount",
    "id": "fields.id",
    "text": "fields.text",
    "score": "relevance",
}


def hits(answer, depth=10, **paths):
    settings = HttpSearchSettings(url="http://engine/search", body={"q": "{query}"}, **paths)
    return hits_of_answer(answer, settings, depth)


def test_hits_of_an_elasticsearch_answer():
    answer = elastic_answer(
        ("a", 2.5, {"text": "one", "title": "One"}), ("b", 1, {"text": " "}), ("a", 0.5, {}), ("c", 0.1, {"text": "x"})
    )
    assert hits(answer, 3, **ELASTIC) == [EngineHit("a", "One", "one", 2.5), EngineHit("b", None, None, 1.0)]


def test_hits_of_solr_and_vespa_answers():
    solr = {"response": {"numFound": 1, "docs": [{"id": 7, "body": ["first", "second"], "score": 3}]}}
    assert hits(solr, **SOLR) == [EngineHit("7", None, "first", 3.0)]
    vespa = {
        "root": {"fields": {"totalCount": 1}, "children": [{"relevance": 0.5, "fields": {"id": "d", "text": "t"}}]}
    }
    assert hits(vespa, **VESPA) == [EngineHit("d", None, "t", 0.5)]


def test_missing_list_is_empty_only_if_the_total_is_zero():
    assert hits({"root": {"fields": {"totalCount": 0}}}, **VESPA) == []
    for total in ({"totalCount": 3}, {}):
        with pytest.raises(AnswerError, match=r"the answer has no value at 'root\.children'"):
            hits({"root": {"fields": total}}, **VESPA)


def test_answer_that_is_a_list_needs_no_path():
    assert hits([{"_id": "a"}], hits="") == [EngineHit("a")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "the answer has no value at 'hits.hits' (setting `hits`)"),
        ([], "the answer has no value at 'hits.hits' (setting `hits`)"),
        ("hits", "the answer has no value at 'hits.hits' (setting `hits`)"),
        ({"hits": {"hits": {}}}, "the value at 'hits.hits' (setting `hits`) is an object, not a list"),
        ({"hits": {"hits": None}}, "the value at 'hits.hits' (setting `hits`) is null, not a list"),
        ({"hits": {"hits": ["a"]}}, "hit 1 has no document id at '_id'"),
        ({"hits": {"hits": [{"_id": ""}]}}, "hit 1 has no document id at '_id'"),
        ({"hits": {"hits": [{"_id": True}]}}, "hit 1: the id at '_id' is a boolean, not a string"),
        ({"hits": {"hits": [{"_id": 1}, {"_id": ["a"]}]}}, "hit 2: the id at '_id' is a list, not a string"),
        (
            {"hits": {"hits": [{"_id": "a", "_source": {"text": ["t"]}}]}},
            "hit 1: the text at '_source.text' is a list, not a string",
        ),
        ({"hits": {"hits": [{"_id": "a", "_score": "2"}]}}, "hit 1: the score at '_score' is a string, not a number"),
        ({"hits": {"hits": [{"_id": "a", "_score": 10**400}]}}, "the score at '_score' is of type int, not a number"),
    ],
)
def test_odd_answers_are_one_line_errors(answer, message):
    with pytest.raises(AnswerError) as caught:
        hits(answer, **ELASTIC)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_that_are_not_finite_are_missing():
    assert hits(elastic_answer(("a", float("nan"), {}), ("b", None, {}))) == [EngineHit("a"), EngineHit("b")]


def test_marks_of_incomplete_answers():
    paths = ["timed_out", "_shards.failed", "root.coverage.degraded"]
    assert partial_problem({"timed_out": False, "_shards": {"failed": 0}}, paths) is None
    assert partial_problem({"timed_out": True}, paths) == "the answer is incomplete (timed_out is True)"
    assert partial_problem({"_shards": {"failed": 2}}, paths) == "the answer is incomplete (_shards.failed is 2)"


def test_rows_need_an_id_and_may_have_title_text_and_score():
    rows = [{"id": 3, "title": None, "text": "t", "score": 0.5}, {"id": "x"}]
    assert hits_of_rows(rows) == [EngineHit("3", None, "t", 0.5), EngineHit("x")]
    with pytest.raises(AnswerError, match="hit 1 has no document id at 'id'"):
        hits_of_rows([{"doc": 1}])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([3.0, 3.0, 1.0], [3.0, 3.0, 1.0]), ([0.1, 0.2], [1.0, 0.5]), ([2.0, None], [1.0, 0.5]), ([], [])],
)
def test_missing_or_increasing_scores_become_reciprocal_ranks(scores, expected):
    assert usable_scores(scores) == expected
