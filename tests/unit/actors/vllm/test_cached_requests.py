"""Tests of requests whose responses are cached: answers, prompts that are too long, and failing requests."""

import asyncio

import pytest

from actors.vllm.cached_requests import ModelRequest, gather_all, request_response
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.storage.folder import Folder

KEY = ("a", 1, 2, 3)


@pytest.fixture
def cache(tmp_path):
    return ResponseCache(Folder(tmp_path))


async def answer(prompt, sampling):
    return Completion(f"{prompt} {sampling['temperature']}", "stop", 5, 2, 1)


def make():
    return ModelRequest([7], 40, {"temperature": 0.5})


def test_response_has_the_answer_and_is_in_the_cache(cache):
    response = asyncio.run(request_response(make, answer, cache, KEY))
    assert (response.raw, response.error, response.finish_reason) == ("[7] 0.5", None, "stop")
    counts = (response.document_tokens, response.prompt_tokens, response.completion_tokens, response.cached_tokens)
    assert counts == (40, 5, 2, 1)
    assert cache.find(*KEY) == response


def test_cached_text_is_what_read_returns(cache):
    response = asyncio.run(request_response(make, answer, cache, KEY, lambda completion: completion.text.upper()[::-1]))
    assert response.raw == "5.0 ]7["


def test_prompt_that_is_too_long_gives_a_response_with_an_error(cache):
    def too_long():
        raise ValueError("prompt exceeds\n  the context")

    response = asyncio.run(request_response(too_long, answer, cache, KEY))
    assert (response.raw, response.error) == (None, "prompt exceeds the context")
    assert response.document_tokens == 0


def test_refused_request_keeps_the_limit_of_its_prompt(cache):
    async def refuse(prompt, sampling):
        raise ValueError("refused")

    response = asyncio.run(request_response(make, refuse, cache, KEY))
    assert (response.raw, response.error, response.document_tokens) == (None, "refused", 40)


def test_gather_all_raises_only_after_all_requests_are_done():
    done = []

    async def fail():
        raise RuntimeError("first")

    async def finish():
        await asyncio.sleep(0)
        done.append(True)

    with pytest.raises(RuntimeError, match="first"):
        asyncio.run(gather_all([fail(), finish()]))
    assert done == [True]
