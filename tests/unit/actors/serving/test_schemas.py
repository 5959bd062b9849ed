"""Requests: one that is wrong all over is refused at its first wrong place, and ids can be written down."""

import pytest
from pydantic import ValidationError

from actors.serving.reranker import _blended
from actors.serving.schemas import LONGEST_ID, FirstStage, RerankRequest, TextsRequest
from ranking.blending import Blend


@pytest.mark.parametrize(("shape", "field"), [(RerankRequest, "documents"), (TextsRequest, "texts")])
def test_a_long_list_of_wrong_things_costs_one_error(shape, field):
    with pytest.raises(ValidationError) as caught:
        shape.model_validate({"query": "q", field: [1] * 100_000})
    assert caught.value.error_count() <= 2  # a document may be a text or an object


def test_ids_are_readable_and_of_bounded_length():
    documents = [{"text": "a", "id": "\ud800"}, {"text": "b", "id": "x" * 1000}, "c", {"text": "d", "id": 7}]
    broken, long, place, number = RerankRequest(query="q", documents=documents).ids
    assert broken.encode("utf-8")
    assert (len(long), place, number) == (LONGEST_ID, "2", "7")


SCORED = [{"text": "a", "score": 3}, {"text": "b", "score": 1.5}]


@pytest.mark.parametrize(
    ("documents", "first_stage", "expected"),
    [
        (SCORED, None, FirstStage([3.0, 1.5])),
        (SCORED, "scores", FirstStage([3.0, 1.5])),
        (SCORED, "order", FirstStage()),
        (SCORED, "none", None),
        (["a", "b"], None, None),
        (["a", "b"], "order", FirstStage()),
        ([*SCORED, "c"], None, None),
        ([*SCORED, {"text": "c", "score": "high"}], None, None),
        ([*SCORED, {"text": "c", "score": True}], None, None),
        ([*SCORED, {"text": "c", "score": 10**400}], None, None),
        ([], "scores", None),
    ],
)
def test_a_request_says_how_its_documents_were_ranked_before(documents, first_stage, expected):
    assert RerankRequest(query="q", documents=documents, first_stage=first_stage).ranked_before() == expected


@pytest.mark.parametrize("document", ["c", {"text": "c"}, {"text": "c", "score": float("nan")}])
def test_first_stage_scores_need_a_finite_score_on_every_document(document):
    with pytest.raises(ValueError, match=r"documents\[2\]\.score: a finite number is needed, as first_stage is scores"):
        RerankRequest(query="q", documents=[*SCORED, document], first_stage="scores").ranked_before()


def test_scores_are_blended_by_what_the_request_has_and_the_answer_says_how():
    blend = Blend(form="scores", weights={"scores": 0.25, "ranks": 0.5})
    alone = [1.0, 2.0, 4.0]
    assert _blended(blend, alone, FirstStage([9.0, 5.0, 1.0])) == (
        blend.apply(alone, [9.0, 5.0, 1.0]),
        "scores, w = 0.25",
    )
    assert _blended(blend, alone, FirstStage()) == (blend.apply_order(alone), "ranks, w = 0.5")
    assert _blended(blend, alone, None) == (alone, None)
    assert _blended(None, alone, FirstStage()) == (alone, None)
    assert _blended(Blend(form="scores", weights={"scores": 0.25}), alone, FirstStage()) == (alone, None)
