"""Request validation, document ids, first-stage rankings and blending."""

import pytest
from pydantic import ValidationError

from actors.serving.http_api.engine_request import EngineRequest
from actors.serving.http_api.request_documents import MAX_ID_CHARACTERS
from actors.serving.http_api.schemas import FirstStage, RerankRequest
from actors.serving.scoring.reranker import _blend
from ranking.blending import Blend


@pytest.mark.parametrize(("request_type", "field"), [(RerankRequest, "documents"), (EngineRequest, "texts")])
def test_validation_stops_at_the_first_invalid_document(request_type, field):
    with pytest.raises(ValidationError) as caught:
        request_type.model_validate({"query": "q", field: [1] * 100_000})
    assert caught.value.error_count() <= 2  # one per member of the union: a document is a string or an object


def test_document_ids_are_valid_utf8_and_truncated():
    documents = [{"text": "a", "id": "\ud800"}, {"text": "b", "id": "x" * 1000}, "c", {"text": "d", "id": 7}]
    broken, long, index, number = RerankRequest(query="q", documents=documents).ids
    assert broken.encode("utf-8")
    assert (len(long), index, number) == (MAX_ID_CHARACTERS, "2", "7")


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
def test_first_stage_ranking_of_a_request(documents, first_stage, expected):
    assert RerankRequest(query="q", documents=documents, first_stage=first_stage).first_stage_ranking() == expected


@pytest.mark.parametrize("document", ["c", {"text": "c"}, {"text": "c", "score": float("nan")}])
def test_first_stage_scores_need_a_finite_score_on_every_document(document):
    with pytest.raises(ValueError, match=r"documents\[2\]\.score: first_stage 'scores' needs a finite number"):
        RerankRequest(query="q", documents=[*SCORED, document], first_stage="scores").first_stage_ranking()


def test_blending_uses_first_stage_scores_or_else_ranks():
    blend = Blend(form="scores", weights={"scores": 0.25, "ranks": 0.5})
    student_scores = [1.0, 2.0, 4.0]
    assert _blend(blend, student_scores, FirstStage([9.0, 5.0, 1.0])) == (
        blend.apply(student_scores, [9.0, 5.0, 1.0]),
        "scores, w = 0.25",
    )
    assert _blend(blend, student_scores, FirstStage()) == (blend.apply_order(student_scores), "ranks, w = 0.5")
    assert _blend(blend, student_scores, None) == (student_scores, None)
    assert _blend(None, student_scores, FirstStage()) == (student_scores, None)
    assert _blend(Blend(form="scores", weights={"scores": 0.25}), student_scores, FirstStage()) == (
        student_scores,
        None,
    )


@pytest.mark.parametrize("min_score", [-0.1, 1.1, "nan", float("nan"), "high"])
@pytest.mark.parametrize(("request_type", "field"), [(RerankRequest, "documents"), (EngineRequest, "texts")])
def test_min_score_must_be_a_number_from_0_to_1(request_type, field, min_score):
    with pytest.raises(ValidationError) as caught:
        request_type.model_validate({"query": "q", field: [], "min_score": min_score})
    assert caught.value.errors()[0]["loc"] == ("min_score",)
    for allowed in (None, 0, 0.5, 1):
        assert request_type.model_validate({"query": "q", field: [], "min_score": allowed}).min_score == allowed


def test_headings_are_the_titles_with_their_line_break():
    documents = ["a", {"text": "b", "title": "Two"}, {"text": "c", "title": ""}, {"text": "d", "title": "x\ud800"}]
    request = RerankRequest(query="q", documents=documents, max_chunks_per_doc=3)
    lengths = request.title_lengths()
    assert lengths == [0, 4, 0, 3]
    titles = [text[:length] for text, length in zip(request.texts_to_score(), lengths, strict=True)]
    assert titles == ["", "Two\n", "", "x\ufffd\n"]
    assert RerankRequest(query="q", documents=documents[1:3], rank_fields=["text"]).title_lengths() == [0, 0]
    with pytest.raises(ValidationError, match="max_chunks_per_doc"):
        RerankRequest(query="q", documents=[], max_chunks_per_doc=0)
