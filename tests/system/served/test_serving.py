"""The HTTP API of the service: third-party clients, formats, keys, limits and invalid requests."""

import concurrent.futures
import json
import time

import cohere
import httpx
import pytest
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

from tests.testing.serving import QUERY, TEXTS, order

pytestmark = pytest.mark.timeout(600)


def test_third_party_clients_get_the_order_of_the_saved_model(service):
    expected = order(service.scores())
    v1, v2 = (client("secret", base_url=service.url) for client in (cohere.Client, cohere.ClientV2))
    for response in (
        v1.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, return_documents=True),
        v2.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, max_tokens_per_doc=512),
    ):
        assert [result.index for result in response.results] == expected[:4]
        assert all(0 < result.relevance_score < 1 for result in response.results)
        assert response.meta.billed_units.search_units == 1
    assert v1.rerank(model="any", query=QUERY, documents=[], top_n=4).results == []
    documents = [Document(page_content=text, metadata={"index": i}) for i, text in enumerate(TEXTS)]
    chain = CohereRerank(model="any", client=v2, top_n=5)
    assert [document.metadata["index"] for document in chain.compress_documents(documents, QUERY)] == expected[:5]


def test_text_embeddings_inference_format(service):
    scores = service.scores()
    results = service.client.post(
        "/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    ).json()
    assert [result["index"] for result in results] == order(scores)
    assert [result["score"] for result in results] == pytest.approx(sorted(scores, reverse=True), abs=1e-3)
    assert [result["text"] for result in results] == [TEXTS[i] for i in order(scores)]
    plain = service.client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    assert [set(result) for result in plain] == [{"index", "score"}] * len(TEXTS)
    assert all(0 <= result["score"] <= 1 for result in plain)
    assert service.client.post("/rerank", json={"query": QUERY, "texts": []}).json() == []
    too_long = service.client.post(
        "/rerank", json={"query": QUERY, "texts": [TEXTS[0], "word " * 200], "truncate": False}
    )
    assert (too_long.status_code, too_long.json()["error_type"]) == (413, "validation")
    assert too_long.json()["error"].startswith("texts[1] and the query have more than 64 tokens")


def test_object_documents_and_the_other_fields_of_a_response(service):
    documents = [{"text": text, "title": "On nature", "id": f"n{i}"} for i, text in enumerate(TEXTS)]
    response = service.rerank(documents, top_n=3, return_documents=True)
    body = response.json()
    expected = order(service.scores(texts=[f"On nature\n{text}" for text in TEXTS]))[:3]
    assert [result["index"] for result in body["results"]] == expected
    assert body["results"][0]["document"] == {"text": f"On nature\n{TEXTS[expected[0]]}"}
    assert body["model"] == response.headers["x-model-version"] == "a"
    assert body["usage"]["total_tokens"] == body["meta"]["tokens"]["input_tokens"] > 12 * 10
    assert "score;dur=" in response.headers["server-timing"]
    truncated = service.rerank(
        ["Salt lowers the freezing point", "Salt lowers other things"], max_tokens_per_doc=2
    ).json()["results"]
    assert [result["index"] for result in truncated] == [0, 1]
    assert truncated[0]["relevance_score"] == truncated[1]["relevance_score"]


def test_ties_among_many_documents_keep_request_order(service):
    texts = [TEXTS[i % 12] for i in range(1000)]
    results = service.rerank(texts).json()["results"]
    scores = service.scores()
    assert [result["index"] for result in results] == order([scores[i % 12] for i in range(1000)])


def test_scores_do_not_depend_on_concurrent_requests(service):
    """Under concurrent requests of many sizes, each raw score equals the saved model's."""
    expected = dict(zip(TEXTS, service.scores(), strict=True))
    longer = [f"{text} {TEXTS[n % 5]}" for n, text in enumerate(TEXTS)]
    expected |= dict(zip(longer, service.scores(texts=longer), strict=True))

    def max_error(n):
        texts = (TEXTS + longer)[n % 7 : n % 7 + 1 + n % 11]
        results = service.client.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()
        return max(abs(result["score"] - expected[texts[result["index"]]]) for result in results)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert max(pool.map(max_error, range(60))) < 1e-3


def test_models_health_and_openapi_routes(service):
    assert {model["id"]: model["role"] for model in service.client.get("/v1/models").json()["data"]} == {
        "a": "champion",
        "b": "challenger",
    }
    without_key = httpx.Client(base_url=service.url)
    assert without_key.get("/health").json() == {"status": "ok"}
    assert without_key.get("/ready").json() == {"status": "ready", "versions": {"champion": "a", "challenger": "b"}}
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/v1/models", "/v1/feedback"} <= set(
        without_key.get("/openapi.json").json()["paths"]
    )


def test_keys_are_required_and_reloaded_at_runtime(service):
    def status(headers):
        return httpx.post(
            f"{service.url}/v1/rerank", json={"query": "q", "documents": ["d"]}, headers=headers
        ).status_code

    assert [
        status(headers) for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"})
    ] == [401] * 3
    service.write_keys("secret", "another")
    deadline = time.monotonic() + 15
    while status({"authorization": "Bearer another"}) == 401 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert status({"authorization": "Bearer another"}) == 200
    service.write_keys("secret")
    while status({"authorization": "Bearer another"}) == 200 and time.monotonic() < deadline + 15:
        time.sleep(0.5)
    assert status({"authorization": "Bearer another"}) == 401


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"query": "q", "documents": ["' + b"x" * 600_000 + b'"]}', 413, "the body has more than 500,000 bytes"),
        (b'{"query": "q"', 422, "the body is not valid JSON"),
        (b'{"query": "", "documents": []}', 422, "query: Input should have at least 1 character"),
        (
            b'{"query": "q", "documents": ["a", {"no": 1}]}',
            422,
            "documents[1].text: missing; add it, or name the fields to read in rank_fields",
        ),
        (b'{"query": "q", "documents": ["a"], "top_n": 0}', 422, "top_n: Input should be greater than or equal to 1"),
        (
            json.dumps({"query": "q", "documents": ["a"] * 1001}).encode(),
            422,
            "documents: 1,001 items exceed the limit of 1,000",
        ),
        (
            json.dumps({"query": "q", "documents": ["a", "b" * 100_001]}).encode(),
            422,
            "documents[1]: 100,001 characters exceed the limit of 100,000",
        ),
        (b'{"query": "\xff", "documents": []}', 422, "the body is not valid JSON: invalid unicode code point"),
    ],
)
def test_invalid_requests_get_a_one_line_error(service, body, status, message):
    response = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["message"][: len(message)]) == (status, message)


def test_a_large_body_without_content_length_is_rejected(service):
    def body():
        for _ in range(100):
            yield b"x" * 50_000

    assert service.client.post("/v1/rerank", content=body()).status_code == 413


def test_excess_requests_get_429_with_retry_after(service):
    texts = [f"{text} {n}" for n in range(60) for text in TEXTS]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        responses = list(pool.map(lambda n: service.rerank(texts[n:]), range(24)))
    statuses = {response.status_code for response in responses}
    assert statuses == {200, 429}
    rejected = [response for response in responses if response.status_code == 429]
    assert all(1 <= int(response.headers["retry-after"]) <= 30 for response in rejected)
    assert service.rerank().status_code == 200


def test_lone_surrogates_and_control_characters_are_ranked(service):
    texts = b'["\\udfff", "", "\\u202e\\ufeff", "\\ud83d\\ude00"]'
    body = b'{"query": "\\ud800 \\u0000", "documents": ' + texts + b', "return_documents": true}'
    response = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == 4
