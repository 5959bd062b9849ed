"""Which form the answer of /rerank has, and requests that contradict themselves."""

import pytest
from pydantic import ValidationError

from actors.serving.http_api.engine_request import EngineRequest

DOCUMENTS = {"query": "q", "documents": ["a"]}


@pytest.mark.parametrize(
    ("body", "array", "with_texts"),
    [
        ({"query": "q", "texts": ["a"]}, True, False),
        ({"query": "q", "texts": ["a"], "return_text": True, "model": "m"}, True, True),
        ({"query": "q", "texts": ["a"], "return_documents": True}, True, True),
        (DOCUMENTS, True, False),
        (DOCUMENTS | {"top_n": 2, "return_documents": True, "max_chunks_per_doc": 3}, True, True),
        (DOCUMENTS | {"model": None, "raw_scores": None, "texts": None}, True, False),
        (DOCUMENTS | {"model": "m"}, False, True),
        (DOCUMENTS | {"model": "m", "return_documents": False}, False, False),
        (DOCUMENTS | {"raw_scores": False}, False, True),
        (DOCUMENTS | {"unknown": 1}, False, True),
    ],
)
def test_the_form_of_the_answer_follows_from_the_fields(body, array, with_texts):
    request = EngineRequest.model_validate(body)
    assert (request.wants_array, request.with_texts) == (array, with_texts)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "send either texts or documents"),
        ({"texts": ["a"], "documents": ["a"]}, "send either texts or documents"),
        ({"texts": ["a"], "return_text": True, "return_documents": False}, "return_text and return_documents differ"),
        ({"texts": ["a"], "top_n": 1, "top_k": 2}, "top_n and top_k differ"),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        EngineRequest.model_validate({"query": "q", **fields})


def test_texts_have_no_scores_of_a_first_stage():
    request = EngineRequest(query="q", texts=["a"], first_stage="scores")
    with pytest.raises(ValueError, match=r"texts\[0\]\.score: first_stage 'scores' needs"):
        request.first_stage_ranking()
