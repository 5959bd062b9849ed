"""An open-loop load generator: requests leave at their time, whether or not the ones before were answered."""

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
    """What came of a load. seconds: of each answered request, from when it should have left; ended: when, from the begin."""

    seconds: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    failed: int = 0

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        held = sorted(self.seconds)
        return 1000 * held[min(len(held) - 1, int(share * len(held)))] if held else float("nan")

    def rate(self, begin: float, end: float) -> float:
        """Answers a second between two moments."""
        return sum(begin <= at < end for at in self.ended) / (end - begin)


async def alone(url: str, bodies: Sequence[bytes], count: int) -> LoadResult:
    """One request after another."""
    outcome = LoadResult()
    async with _session() as session:
        for number in range(count):
            await _ask(session, url, bodies[number % len(bodies)], time.perf_counter(), 0.0, outcome)
    return outcome


async def poisson(url: str, bodies: Sequence[bytes], rate: float, seconds: float, seed: int = 1) -> LoadResult:
    """Requests at random moments, `rate` a second on average."""
    draw, outcome, tasks = random.Random(seed), LoadResult(), []
    async with _session() as session:
        began = at = time.perf_counter()
        number = 0
        while at < began + seconds:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            tasks.append(asyncio.create_task(_ask(session, url, bodies[number % len(bodies)], at, began, outcome)))
            at += draw.expovariate(rate)
            number += 1
        await asyncio.gather(*tasks)
    return outcome


async def saturated(url: str, bodies: Sequence[bytes], waiting: int, seconds: float) -> LoadResult:
    """As many requests under way as never to leave the server idle: each answer sends the next."""
    outcome = LoadResult()
    began = time.perf_counter()

    async def again(session: aiohttp.ClientSession, number: int) -> None:
        while time.perf_counter() < began + seconds:
            await _ask(session, url, bodies[number % len(bodies)], time.perf_counter(), began, outcome)
            number += waiting

    async with _session() as session:
        await asyncio.gather(*(again(session, number) for number in range(waiting)))
    return outcome


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120))


async def _ask(
    session: aiohttp.ClientSession, url: str, body: bytes, due: float, began: float, outcome: LoadResult
) -> None:
    try:
        async with session.post(url, data=body, headers=HEADERS) as answer:
            await answer.read()
            if answer.status != 200:
                outcome.failed += 1
                return
    except (aiohttp.ClientError, TimeoutError):
        outcome.failed += 1
        return
    now = time.perf_counter()
    outcome.seconds.append(now - due)
    outcome.ended.append(now - began)
