"""The service as callers meet it: clients of others, each shape, keys, limits, odd requests."""

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


def test_the_clients_of_others_get_the_order_of_the_saved_model(service):
    expected = order(service.scores())
    first, second = (made("secret", base_url=service.url) for made in (cohere.Client, cohere.ClientV2))
    for answer in (
        first.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, return_documents=True),
        second.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, max_tokens_per_doc=512),
    ):
        assert [result.index for result in answer.results] == expected[:4]
        assert all(0 < result.relevance_score < 1 for result in answer.results)
        assert answer.meta.billed_units.search_units == 1
    assert first.rerank(model="any", query=QUERY, documents=[], top_n=4).results == []
    documents = [Document(page_content=text, metadata={"place": i}) for i, text in enumerate(TEXTS)]
    chain = CohereRerank(model="any", client=second, top_n=5)
    assert [one.metadata["place"] for one in chain.compress_documents(documents, QUERY)] == expected[:5]


def test_the_shape_of_text_embeddings_inference(service):
    scores = service.scores()
    found = service.client.post(
        "/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    ).json()
    assert [one["index"] for one in found] == order(scores)
    assert [one["score"] for one in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-3)
    assert [one["text"] for one in found] == [TEXTS[i] for i in order(scores)]
    plain = service.client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    assert [set(one) for one in plain] == [{"index", "score"}] * len(TEXTS)
    assert all(0 <= one["score"] <= 1 for one in plain)
    assert service.client.post("/rerank", json={"query": QUERY, "texts": []}).json() == []
    refused = service.client.post(
        "/rerank", json={"query": QUERY, "texts": [TEXTS[0], "word " * 200], "truncate": False}
    )
    assert (refused.status_code, refused.json()["error_type"]) == (413, "validation")
    assert refused.json()["error"].startswith("texts[1] and the query have more than 64 tokens")


def test_documents_as_objects_and_what_else_an_answer_holds(service):
    documents = [{"text": text, "title": "On nature", "id": f"n{i}"} for i, text in enumerate(TEXTS)]
    answer = service.rerank(documents, top_n=3, return_documents=True)
    held = answer.json()
    expected = order(service.scores(texts=[f"On nature\n{text}" for text in TEXTS]))[:3]
    assert [one["index"] for one in held["results"]] == expected
    assert held["results"][0]["document"] == {"text": f"On nature\n{TEXTS[expected[0]]}"}
    assert held["model"] == answer.headers["x-model-version"] == "a"
    assert held["usage"]["total_tokens"] == held["meta"]["tokens"]["input_tokens"] > 12 * 10
    assert "score;dur=" in answer.headers["server-timing"]
    cut = service.rerank(["Salt lowers the freezing point", "Salt lowers other things"], max_tokens_per_doc=2).json()[
        "results"
    ]
    assert [one["index"] for one in cut] == [0, 1]
    assert cut[0]["relevance_score"] == cut[1]["relevance_score"]


def test_many_documents_and_equal_ones(service):
    texts = [TEXTS[i % 12] for i in range(1000)]
    results = service.rerank(texts).json()["results"]
    scores = service.scores()
    assert [one["index"] for one in results] == order([scores[i % 12] for i in range(1000)])


def test_scores_do_not_depend_on_who_else_asks(service):
    """Requests of many sizes at once: each raw score is the saved model's."""
    expected = dict(zip(TEXTS, service.scores(), strict=True))
    longer = [f"{text} {TEXTS[n % 5]}" for n, text in enumerate(TEXTS)]
    expected |= dict(zip(longer, service.scores(texts=longer), strict=True))

    def ask(n):
        texts = (TEXTS + longer)[n % 7 : n % 7 + 1 + n % 11]
        found = service.client.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()
        return max(abs(one["score"] - expected[texts[one["index"]]]) for one in found)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(60))) < 1e-3


def test_models_health_and_the_description(service):
    assert {one["id"]: one["role"] for one in service.client.get("/v1/models").json()["data"]} == {
        "a": "champion",
        "b": "challenger",
    }
    bare = httpx.Client(base_url=service.url)
    assert bare.get("/health").json() == {"status": "ok"}
    assert bare.get("/ready").json() == {"status": "ready", "versions": {"champion": "a", "challenger": "b"}}
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/v1/models", "/v1/feedback"} <= set(
        bare.get("/openapi.json").json()["paths"]
    )


def test_keys_are_asked_for_and_may_change_while_the_service_runs(service):
    def status(headers):
        return httpx.post(
            f"{service.url}/v1/rerank", json={"query": "q", "documents": ["d"]}, headers=headers
        ).status_code

    assert [status(held) for held in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"})] == [
        401
    ] * 3
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
        (b'{"query": "q"', 422, "the body is no valid JSON"),
        (b'{"query": "", "documents": []}', 422, "query: Input should have at least 1 character"),
        (
            b'{"query": "q", "documents": ["a", {"no": 1}]}',
            422,
            "documents[1]: Input should be a valid string; documents[1].text: Field required",
        ),
        (b'{"query": "q", "documents": ["a"], "top_n": 0}', 422, "top_n: Input should be greater than or equal to 1"),
        (json.dumps({"query": "q", "documents": ["a"] * 1001}).encode(), 422, "documents: 1,001 are more than 1,000"),
        (
            json.dumps({"query": "q", "documents": ["a", "b" * 100_001]}).encode(),
            422,
            "documents[1]: 100,001 characters are more than 100,000",
        ),
        (b'{"query": "\xff", "documents": []}', 400, "There was an error parsing the body"),
    ],
)
def test_a_request_that_is_no_good_gets_one_clear_line(service, body, status, message):
    answer = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)


def test_a_body_without_a_length_is_refused_while_it_arrives(service):
    sent = []

    def body():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 50_000

    assert service.client.post("/v1/rerank", content=body()).status_code == 413


def test_too_many_at_once_are_sent_away_with_a_time_to_come_back(service):
    texts = [f"{text} {n}" for n in range(60) for text in TEXTS]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda n: service.rerank(texts[n:]), range(24)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(1 <= int(answer.headers["retry-after"]) <= 30 for answer in refused)
    assert service.rerank().status_code == 200


def test_halves_of_characters_and_other_odd_texts_are_ranked(service):
    body = b'{"query": "\\ud800 \\u0000", "documents": ["\\udfff", "", "\\u202e\\ufeff", "\\ud83d\\ude00"], "return_documents": true}'
    answer = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["results"]) == 4
