"""No accepted field is ignored silently, checked with random bodies against a second implementation of the rules."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.serving.http_api.engine_request import EngineRequest
from actors.serving.http_api.schemas import RerankRequest
from tests.testing.http_service import http_client, word_scores

WORDS = st.lists(st.sampled_from(["bread", "river", "stone", "rise"]), max_size=6).map(" ".join)
OBJECT = st.fixed_dictionaries(
    {"text": WORDS}, optional={"title": WORDS, "body": WORDS, "score": st.integers(0, 9), "id": st.integers()}
)
OPTIONAL = {
    "top_n": st.none() | st.integers(1, 4),
    "top_k": st.none() | st.integers(1, 4),
    "return_documents": st.none() | st.booleans(),
    "rank_fields": st.none() | st.lists(st.sampled_from(["text", "title", "body"]), min_size=1, max_size=3),
    "max_tokens_per_doc": st.none() | st.integers(1, 3),
    "raw_scores": st.none() | st.booleans(),
    "truncate": st.none() | st.booleans(),
    "first_stage": st.sampled_from([None, "order", "none"]),
    "min_score": st.sampled_from([None, 0.0, 0.6]),
    "model": st.none() | st.just("m"),
    "user": st.none() | st.just("u"),
    "instruction": st.sampled_from([None, "", "be brief"]),
    "max_chunks_per_doc": st.none() | st.just(2),
    "surprise": st.none() | st.just([1]),
}
DOCUMENTS = st.fixed_dictionaries(
    {"query": st.just("bread rise"), "documents": st.lists(WORDS | OBJECT, max_size=4)}, optional=OPTIONAL
)
TEXTS = st.fixed_dictionaries(
    {"query": st.just("bread rise"), "texts": st.lists(WORDS, max_size=4)},
    optional={**OPTIONAL, "return_text": st.none() | st.booleans(), "rank_fields": st.just(None)},
)
REQUESTS = st.one_of(
    st.tuples(st.sampled_from(["/v1/rerank", "/v2/rerank"]), DOCUMENTS),
    st.tuples(st.just("/rerank"), DOCUMENTS | TEXTS),
)


def text_of(document, rank_fields):
    fields = {"text": document} if isinstance(document, str) else document
    if rank_fields:
        return "\n".join(fields[name] for name in rank_fields if name in fields)
    return f"{fields['title']}\n{fields['text']}" if fields.get("title") else fields["text"]


def has_contradiction(sent):
    """Return whether a request must be refused."""
    documents = [{"text": d} if isinstance(d, str) else d for d in sent.get("documents", [])]
    pairs = (("top_n", "top_k"), ("return_documents", "return_text"))
    return (
        any(a in sent and b in sent and sent[a] != sent[b] for a, b in pairs)
        or bool(sent.get("instruction"))
        or ("rank_fields" in sent and any(not d.keys() & set(sent["rank_fields"]) for d in documents))
    )


def expected_scores(sent, texts):
    """Return the raw scores, which are the first stage's if the request has one."""
    items = sent.get("texts", sent.get("documents"))
    stage = sent.get("first_stage")
    scored = all(isinstance(item, dict) and "score" in item for item in items)
    if stage == "order":
        return [float(-i) for i in range(len(items))]
    if stage is None and scored and items:
        return [float(item["score"]) for item in items]
    return word_scores(sent["query"], texts, sent.get("max_tokens_per_doc"))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with http_client(tmp_path_factory.mktemp("storage")) as client:
        yield client


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS)
def test_the_answer_follows_from_every_field(client, request_):
    route, body = request_
    response = client.post(route, json=body)
    sent = {name: value for name, value in body.items() if value is not None}
    if has_contradiction(sent):
        assert response.status_code == 422
        return
    assert response.status_code == 200, response.text
    answer = response.json()
    array = "texts" in sent or (
        route == "/rerank" and sent.keys() <= {"query", "documents", "top_n", "return_documents", "max_chunks_per_doc"}
    )
    assert isinstance(answer, list) == array
    results = answer if array else answer["results"]
    texts = [text_of(item, sent.get("rank_fields")) for item in sent.get("texts", sent.get("documents"))]
    scores = expected_scores(sent, texts)
    limit = sent.get("top_n", sent.get("top_k"))
    students = word_scores(sent["query"], texts, sent.get("max_tokens_per_doc"))
    kept = [i for i in range(len(texts)) if 1 / (1 + math.exp(-students[i])) >= sent.get("min_score", 0.0)]
    assert [r["index"] for r in results] == sorted(kept, key=lambda i: (-scores[i], i))[:limit]
    shown = [r["score" if array else "relevance_score"] for r in results]
    raw = [scores[r["index"]] for r in results]
    assert shown == pytest.approx(raw if sent.get("raw_scores") else [1 / (1 + math.exp(-score)) for score in raw])
    with_texts = sent.get("return_documents", sent.get("return_text", route == "/rerank" and not array))
    returned = [r.get("text") if array else r.get("document", {}).get("text") for r in results]
    assert returned == [texts[r["index"]] if with_texts else None for r in results]
    listed = {name for name in response.headers.get("x-ignored-fields", "").split(", ") if name}
    assert listed == sent.keys() & {"surprise", "max_chunks_per_doc"}


LONG = "bread " * 40
EFFECTS = {
    "query": ("bread", "river"),
    "documents": (["bread"], ["river"]),
    "top_n": (1, 2),
    "top_k": (1, 2),
    "return_documents": (True, False),
    "rank_fields": (["text"], ["title"]),
    "max_tokens_per_doc": (1, 2),
    "raw_scores": (True, False),
    "truncate": (True, False),
    "first_stage": ("order", "none"),
    "min_score": (0.0, 1.0),
    "texts": (["bread"], ["river"]),
    "return_text": (True, False),
}
"""{declared field: two values that must not have the same answer}. A new field needs an entry."""

ONLY_WITH_PASSAGES = {"max_chunks_per_doc"}
"""Fields that are listed as ignored unless the student reads passages."""


def test_every_declared_field_changes_the_answer(client):
    assert EFFECTS.keys() | ONLY_WITH_PASSAGES == RerankRequest.model_fields.keys() | EngineRequest.model_fields.keys()
    documents = [{"text": "bread river bread", "title": "rise"}, {"text": LONG, "title": "bread"}]
    for field, values in EFFECTS.items():
        route = "/rerank" if field in ("texts", "return_text") else "/v1/rerank"
        base = {"texts": ["river", LONG]} if route == "/rerank" else {"documents": documents}
        if field == "texts":
            base = {}
        answers = [client.post(route, json={"query": "bread", **base, field: value}) for value in values]
        bodies = [r.json() if isinstance(r.json(), list) else {**r.json(), "id": None} for r in answers]
        assert bodies[0] != bodies[1], field
        assert answers[0].status_code == 200, answers[0].text
