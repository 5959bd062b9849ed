"""Client libraries and the bodies of search engines against the live service."""

import re

import pytest

from tests.testing import search_engines as engines
from tests.testing.client_environment import CLIENTS, REQUIREMENTS, run_client
from tests.testing.serving import QUERY, TEXTS, order

pytestmark = pytest.mark.timeout(600)

VARIANTS = {
    "cohere_client.py": {"v1", "v1 with rank_fields", "v2"},
    "haystack_client.py": {"CohereRanker", "VLLMRanker", "HuggingFaceTEIRanker"},
    "langchain_client.py": {"CohereRerank"},
    "litellm_client.py": {"cohere/any", "hosted_vllm/any", "huggingface/any", "jina_ai/any", "infinity/any"},
    "llama_index_client.py": {"CohereRerank", "TextEmbeddingInference"},
}


@pytest.mark.parametrize("script", VARIANTS)
def test_a_client_gets_the_order_of_the_saved_model(service, script):
    ranked = run_client(script, service.url, "secret", {"query": QUERY, "texts": TEXTS, "top_n": 4})
    assert ranked.keys() == VARIANTS[script]
    for name, results in ranked.items():
        assert [index for index, _ in results] == order(service.scores())[:4], name
        assert all(0 < score < 1 for _, score in results), name


def test_each_script_is_tested_and_each_page_names_the_versions():
    assert {path.name for path in CLIENTS.glob("*.py")} == VARIANTS.keys()
    pages = "".join(path.read_text() for path in engines.PAGES.glob("*.md"))
    pins = dict(re.findall(r"^(\S+)==(\S+)$", REQUIREMENTS.read_text().partition("\n\n")[0], re.MULTILINE))
    for package in ("langchain-cohere", "haystack-ai", "cohere-haystack", "vllm-haystack", "huggingface-api-haystack"):
        assert f"{package} {pins[package]}" in pages or f"version {pins[package]}" in pages, package
    assert f"litellm {pins['litellm']}" in pages
    assert f"llama-index-postprocessor-cohere-rerank {pins['llama-index-postprocessor-cohere-rerank']}" in pages


def test_bodies_of_search_engines(service):
    def post(route, body):
        kind = "content" if isinstance(body, str) else "json"
        headers = {"content-type": "application/json"}
        return service.client.post(route, **{kind: body}, headers=headers).raise_for_status().content

    expected = order(service.scores())
    array = engines.read_hugging_face(post("/rerank", engines.hugging_face_body(QUERY, TEXTS, 5, True)), 5)
    assert [(index, text) for index, _, text in array] == [(i, TEXTS[i]) for i in expected[:5]]
    custom = engines.read_custom_service(post("/v2/rerank", engines.custom_service_body(QUERY, TEXTS)))
    assert [(index, text) for index, _, text in custom] == [(i, TEXTS[i]) for i in expected]
    assert order(engines.read_open_search(post("/v2/rerank", engines.open_search_body(QUERY, TEXTS)))) == expected


def test_head_and_preflight_requests(service):
    for path in ("/", "/health", "/ready", "/v1/models", "/docs", "/openapi.json"):
        response = service.client.head(path)
        assert (response.status_code, response.content) == (200, b""), path
    preflight = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    assert service.client.options("/v1/rerank", headers=preflight).status_code == 405  # allowed_origins is empty
