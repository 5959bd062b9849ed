"""Bodies as search engines and libraries send them, and answers as they read them, on the service's own routes."""

import json

import pytest

from tests.testing import search_engines as engines
from tests.testing.http_service import http_client, word_scores

QUERY = 'why does "bread" rise\n\u00e9'
TEXTS = ["river stone", "bread does rise", 'a "quoted" text\n', "", "why bread"]
ORDER = [1, 4, 3, 0, 2]
"""By `word_scores`. The empty text has score -1."""


@pytest.fixture
def client(tmp_path):
    with http_client(tmp_path) as client:
        yield client


def post(client, route, body):
    content = body if isinstance(body, str) else json.dumps(body)
    response = client.post(route, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    return response


def test_the_expected_order_is_that_of_the_model():
    scores = word_scores(QUERY, TEXTS)
    assert sorted(range(5), key=lambda i: -scores[i]) == ORDER


@pytest.mark.parametrize("body_of", [engines.hugging_face_body, engines.hugging_face_development_body])
@pytest.mark.parametrize("top_n", [None, 2, 10])
@pytest.mark.parametrize("return_documents", [None, False, True])
def test_elasticsearch_hugging_face_service(client, body_of, top_n, return_documents):
    response = post(client, "/rerank", body_of(QUERY, TEXTS, top_n, return_documents))
    results = engines.read_hugging_face(response.content, top_n)
    assert [index for index, _, _ in results] == ORDER[:top_n]
    assert [text for _, _, text in results] == [TEXTS[i] if return_documents else None for i in ORDER[:top_n]]
    assert len(response.json()) == len(results)


def test_elasticsearch_custom_service(client):
    response = post(client, "/v2/rerank", engines.custom_service_body(QUERY, TEXTS))
    results = engines.read_custom_service(response.content)
    assert [(index, text) for index, _, text in results] == [(i, TEXTS[i]) for i in ORDER]


def test_open_search_cohere_functions(client):
    for query, texts in ((QUERY, TEXTS), ("nothing in common", ["a", "b"]), ("word " * 400, ["word " * 30, "b"])):
        scores = engines.read_open_search(post(client, "/v2/rerank", engines.open_search_body(query, texts)).content)
        assert sorted(range(len(texts)), key=lambda i: -scores[i]) == sorted(
            range(len(texts)), key=lambda i: -word_scores(query, texts)[i]
        )


BODIES = {
    "vLLM": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3, "user": "u", "priority": 0},
    "Infinity": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3, "return_documents": True},
    "llama.cpp": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3},
    "LiteLLM": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3, "return_documents": True},
    "Haystack's vLLM ranker": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3},
    "Jina": {"model": "m", "query": QUERY, "documents": [{"text": text} for text in TEXTS], "top_n": 3},
    "Voyage": {"model": "m", "query": QUERY, "documents": TEXTS, "top_k": 3, "truncation": True},
    "Dify": {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3, "return_documents": None},
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("route", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_clients_of_servers_with_a_results_object(client, name, route):
    response = post(client, route, BODIES[name])
    results = response.json()["results"]
    assert [result["index"] for result in results] == ORDER[:3]
    assert all(isinstance(result["relevance_score"], float) for result in results)
    if route == "/rerank" or BODIES[name].get("return_documents"):
        assert [result["document"] for result in results] == [{"text": TEXTS[i]} for i in ORDER[:3]]
    assert "x-ignored-fields" not in response.headers


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"raw_scores": False, "truncate": True},
        {"raw_scores": False, "truncate": True, "truncation_direction": "Right"},
        {"raw_scores": None, "truncate": None, "return_text": None},
    ],
)
def test_clients_of_text_embeddings_inference(client, fields):
    results = post(client, "/rerank", {"query": QUERY, "texts": TEXTS, **fields}).json()
    assert [result["index"] for result in results] == ORDER
    assert all(result.keys() == {"index", "score"} and 0 <= result["score"] <= 1 for result in results)


def test_cohere_v1_rank_fields(client):
    documents = [{"Title": "river", "Content": "stone"}, {"Title": "bread", "Content": "does rise"}]
    body = {"query": QUERY, "documents": documents, "rank_fields": ["Title", "Content"], "return_documents": True}
    first = post(client, "/v1/rerank", {**body, "model": "m", "max_chunks_per_doc": 10})
    assert first.json()["results"][0]["document"] == {"text": "bread\ndoes rise"}
    assert first.headers["x-ignored-fields"] == "max_chunks_per_doc"
    assert first.json()["meta"]["warnings"] == ["the field max_chunks_per_doc had no effect"]


@pytest.mark.parametrize(
    ("route", "body", "expected"),
    [
        ("/rerank", {"documents": []}, []),
        ("/rerank", {"texts": []}, []),
        ("/rerank", {"model": "m", "documents": []}, {"results": []}),
        ("/v1/rerank", {"documents": [], "top_n": 3}, {"results": []}),
        ("/v2/rerank", {"documents": []}, {"results": []}),
    ],
)
def test_an_empty_list_has_an_empty_result(client, route, body, expected):
    answer = post(client, route, {"query": "q", **body}).json()
    assert (answer if isinstance(answer, list) else {"results": answer["results"]}) == expected


def test_long_texts_are_refused_by_the_name_of_their_field(client):
    for name in ("texts", "documents"):
        body = {"query": "q", name: ["a", "word " * 40], "truncate": False}
        response = client.post("/rerank", json=body)
        assert (response.status_code, response.json()["error"][:12]) == (413, f"{name}[1] and"[:12])
