"""Requests of the soak test: an open loop of requests with one retry each, whose responses are checked."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from benchmarks.serving.load import HEADERS

RETRIED_STATUS = {429, 500, 502, 503, 504}


@dataclass
class SoakResult:
    """Results of a soak test. All times are in seconds from its start.

    Attributes:
        latencies: (scheduled start, latency in seconds) of each response.
        versions: Number of responses per version.
        retries: Number of retries per cause.
        failed: Failed requests and wrong responses, as messages.
        events: Promotions and killed replicas, as messages.
        replica_memory: (time, mean memory of a replica in bytes).
        other_memory: (time, total memory of all other processes in bytes).
    """

    latencies: list[tuple[float, float]] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    replica_memory: list[tuple[float, int]] = field(default_factory=list)
    other_memory: list[tuple[float, int]] = field(default_factory=list)


async def rerank_once(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[str, list[int]]:
    """Send a request without retries.

    Returns:
        The version that responded, and the indices of the documents in its order.

    Raises:
        _FailedError: There is no response, or its status is not 200.
    """
    try:
        async with session.post(url, data=body, headers=HEADERS) as response:
            if response.status != 200:
                retried = response.status in RETRIED_STATUS
                wait_seconds = float(response.headers.get("retry-after", 0)) if retried else None
                raise _FailedError(str(response.status), wait_seconds)
            content = await response.json()
            return response.headers["x-model-version"], [result["index"] for result in content["results"]]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _FailedError(type(error).__name__, 0.0) from None


class _FailedError(Exception):
    """A request failed.

    Attributes:
        retry_after: Seconds to wait before a retry; None if the request must not be retried.
    """

    def __init__(self, cause: str, retry_after: float | None) -> None:
        super().__init__(cause)
        self.retry_after = retry_after


async def one_request(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    orders: dict[str, list[int]],
    due: float,
    start: float,
    result: SoakResult,
) -> None:
    """Send a request, retry it once if it fails, and check the order of the response.

    Args:
        session: HTTP session.
        url: URL of the rerank endpoint.
        body: Request body.
        orders: {version: expected indices}.
        due: Scheduled start of the request, by time.perf_counter.
        start: Start of the test, by time.perf_counter.
        result: Takes the outcome.
    """
    for is_retry in (False, True):
        try:
            version, order = await rerank_once(session, url, body)
        except _FailedError as error:
            if is_retry or error.retry_after is None:
                result.failed.append(f"{time.perf_counter() - start:.0f} s: {error}")
                return
            result.retries[str(error)] += 1
            await asyncio.sleep(error.retry_after)
            continue
        if order != orders[version]:
            result.failed.append(f"{time.perf_counter() - start:.0f} s: not the order of version {version}")
        result.versions[version] += 1
        result.latencies.append((due - start, time.perf_counter() - due))
        return


async def load(
    url: str,
    bodies: list[bytes],
    orders: list[dict[str, list[int]]],
    rate: float,
    start: float,
    seconds: float,
    result: SoakResult,
) -> None:
    """Send requests in an open loop, `rate` per second on average, at times that do not depend on earlier responses."""
    generator, tasks, number, at = random.Random(2), [], 0, start
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        while at < start + seconds:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            index = number % len(bodies)
            request = one_request(session, url, bodies[index], orders[index], at, start, result)
            tasks.append(asyncio.create_task(request))
            at += generator.expovariate(rate)
            number += 1
        await asyncio.gather(*tasks)
