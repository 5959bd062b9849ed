"""Send prompts to a model and add its raw responses to the response cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.vllm.completion import Completion
from actors.vllm.response_cache import CachedResponse, ResponseCache

T = TypeVar("T")

Generate = Callable[[Any, Mapping[str, Any]], Awaitable[Completion]]
"""Generation function of a backend. Maps a prompt and sampling arguments to a completion.

The prompt is a list of token ids for vLLM, and chat messages for a backend behind an HTTP API.
"""

Key = tuple[str, int, int, int]
"""Key of a response in the cache, see `CachedResponse.key`."""


@dataclass(frozen=True)
class ModelRequest:
    """A request to a model.

    Attributes:
        prompt: The filled prompt, which the generation function takes.
        document_tokens: Maximum tokens per document in the prompt.
        sampling: Sampling arguments.
    """

    prompt: Any
    document_tokens: int
    sampling: Mapping[str, Any]


def text_of(completion: Completion) -> str:
    """Return the generated text."""
    return completion.text


async def request_response(
    make: Callable[[], ModelRequest],
    generate: Generate,
    cache: ResponseCache,
    key: Key,
    read: Callable[[Completion], str] = text_of,
) -> CachedResponse:
    """Send a request to a model, and add the response to the cache.

    A prompt that is too long and a request that the model refuses, which both raise ValueError, give a response with
    the error message.

    Args:
        make: Makes the request. Runs in a thread, because it tokenizes texts.
        generate: Generation function of the backend.
        cache: Response cache.
        key: Key of the response.
        read: Returns the text to cache.
    """
    start = time.monotonic()
    request, completion, error = None, None, None
    try:
        request = await asyncio.to_thread(make)
        completion = await generate(request.prompt, request.sampling)
    except ValueError as failure:
        error = " ".join(str(failure).split())
    list_id, number, step, attempt = key
    response = CachedResponse(
        list_id=list_id,
        number=number,
        step=step,
        attempt=attempt,
        raw=read(completion) if completion else None,
        error=error,
        finish_reason=completion.finish_reason if completion else None,
        document_tokens=request.document_tokens if request else 0,
        prompt_tokens=completion.prompt_tokens if completion else 0,
        cached_tokens=completion.cached_tokens if completion else 0,
        completion_tokens=completion.completion_tokens if completion else 0,
        seconds=time.monotonic() - start,
    )
    await cache.add(response)
    return response


async def gather_all(requests: Iterable[Awaitable[T]]) -> list[T]:
    """Await all requests concurrently. If some fail, raise the first error after all others are done.

    No answer is lost that was requested at the same time as a failing one.
    """
    results = await asyncio.gather(*requests, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
