"""Response cache: lookups before and after writing, in this process and the next."""

import asyncio

from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.storage.folder import Folder


def response_for(list_id, number=0, attempt=1, error=None):
    return CachedResponse(
        list_id=list_id,
        number=number,
        step=0,
        attempt=attempt,
        raw=None if error else f"[{number + 1}] > [2] for {list_id}",
        error=error,
        finish_reason=None if error else "stop",
        document_tokens=200,
        prompt_tokens=900,
        cached_tokens=0,
        completion_tokens=12,
        seconds=0.5,
    )


def fill(cache, responses):
    async def add():
        for response in responses:
            await cache.add(response)
        await cache.write()

    asyncio.run(add())


def test_responses_are_found_before_and_after_writing_and_after_reload(tmp_path):
    responses = [response_for(f"list {n}", number) for n in range(50) for number in range(2)]
    cache = ResponseCache(Folder(tmp_path))
    asyncio.run(cache.add(responses[0]))
    assert cache.find("list 0", 0, 0, 1) == responses[0]
    fill(cache, responses[1:])
    for written in (cache, ResponseCache(Folder(tmp_path))):
        for response in responses:
            assert written.find(response.list_id, response.number, 0, 1) == response
        assert written.find("list 0", 2, 0, 1) is None
        assert written.find("list 50", 0, 0, 1) is None
    assert len(Folder(tmp_path).names(".parquet")) == 1


def test_engine_errors_are_replaced_and_the_first_response_wins(tmp_path):
    cache = ResponseCache(Folder(tmp_path))
    fill(cache, [response_for("a", error="out of memory"), response_for("b")])
    second = response_for("b").model_copy(update={"raw": "another"})
    fill(cache, [response_for("a"), second])
    for written in (cache, ResponseCache(Folder(tmp_path))):
        assert written.find("a", 0, 0, 1).raw == "[1] > [2] for a"
    assert cache.find("b", 0, 0, 1).raw == "[1] > [2] for b"


def test_hash_collision_is_a_cache_miss(tmp_path):
    cache = ResponseCache(Folder(tmp_path))
    fill(cache, [response_for("a")])
    cache._index[hash(("b", 0, 0, 1))] = cache._index[hash(("a", 0, 0, 1))]
    assert cache.find("b", 0, 0, 1) is None
