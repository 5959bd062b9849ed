"""Await many requests, of which some may be deferred to a later job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from actors.hosted.hosted_errors import RequestDeferredError

T = TypeVar("T")


async def gather_present(requests: Iterable[Awaitable[T]]) -> tuple[list[T], BaseException | None]:
    """Await all requests concurrently until every one of them is done.

    Returns:
        The results, without those of deferred requests, and the first other error, if any. The caller raises it after
        it has saved the answers that came in the meantime.
    """
    results = await asyncio.gather(*requests, return_exceptions=True)
    present = [result for result in results if not isinstance(result, BaseException)]
    errors = [result for result in results if isinstance(result, BaseException)]
    return present, next((error for error in errors if not isinstance(error, RequestDeferredError)), None)
