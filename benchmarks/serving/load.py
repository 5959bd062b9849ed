"""Load generators for a rerank endpoint: sequential, open loop, and saturation."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

HEADERS = {"content-type": "application/json"}


@dataclass
class LoadResult:
    """Result of a load.

    Attributes:
        seconds: Latency of each successful request, from its scheduled start.
        ended: Time of each response, in seconds from the start of the load.
        failed: Number of failed requests.
    """

    seconds: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    failed: int = 0

    def quantile(self, share: float) -> float:
        """Return a quantile of the latencies in milliseconds; NaN if no request succeeded."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def rate(self, begin: float, end: float) -> float:
        """Return the responses per second between two times, both in seconds from the start of the load."""
        return sum(begin <= at < end for at in self.ended) / (end - begin)


async def sequential(url: str, bodies: Sequence[bytes], count: int) -> LoadResult:
    """Send one request at a time."""
    result = LoadResult()
    async with _session() as session:
        for number in range(count):
            await _send(session, url, bodies[number % len(bodies)], time.perf_counter(), 0.0, result)
    return result


async def poisson(url: str, bodies: Sequence[bytes], rate: float, seconds: float, seed: int = 1) -> LoadResult:
    """Send requests in an open loop, at random times that do not depend on earlier responses.

    Args:
        url: URL of the endpoint.
        bodies: Request bodies, sent in turn.
        rate: Mean number of requests per second.
        seconds: Duration of the load.
        seed: Seed of the request times.
    """
    generator, result, tasks = random.Random(seed), LoadResult(), []
    async with _session() as session:
        start = at = time.perf_counter()
        number = 0
        while at < start + seconds:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            tasks.append(asyncio.create_task(_send(session, url, bodies[number % len(bodies)], at, start, result)))
            at += generator.expovariate(rate)
            number += 1
        await asyncio.gather(*tasks)
    return result


async def saturated(url: str, bodies: Sequence[bytes], concurrency: int, seconds: float) -> LoadResult:
    """Keep a constant number of requests in flight, which never leaves the server idle."""
    result = LoadResult()
    start = time.perf_counter()

    async def send_repeatedly(session: aiohttp.ClientSession, number: int) -> None:
        while time.perf_counter() < start + seconds:
            await _send(session, url, bodies[number % len(bodies)], time.perf_counter(), start, result)
            number += concurrency

    async with _session() as session:
        await asyncio.gather(*(send_repeatedly(session, number) for number in range(concurrency)))
    return result


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120))


async def _send(
    session: aiohttp.ClientSession, url: str, body: bytes, due: float, start: float, result: LoadResult
) -> None:
    try:
        async with session.post(url, data=body, headers=HEADERS) as response:
            await response.read()
            if response.status != 200:
                result.failed += 1
                return
    except (aiohttp.ClientError, TimeoutError):
        result.failed += 1
        return
    now = time.perf_counter()
    result.seconds.append(now - due)
    result.ended.append(now - start)
