"""Attack a running service and print what other callers see.

    python -m benchmarks.attacks http://127.0.0.1:8000 --key KEY_A --other-key KEY_B [--only saturation long_documents]

Start the service with a key file that contains both keys. For each attack, the table has the service's health and the
latency of a small request with KEY_B, before and during the attack. Run it only against a service of your own.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from rich.console import Console
from rich.table import Table

from tools.raw_connections import RawConnections

SMALL = {"query": "merge sorted lists", "documents": ["Merge several sorted inputs.", "time.sleep suspends a thread."]}
WORDS = "merge several sorted inputs into a single output without a copy of the whole data in memory ".split()
PROBE_SECONDS = 0.2
TIMEOUT_SECONDS = 20.0


@dataclass
class Target:
    """The attacked service.

    Attributes:
        url: Address of the service.
        key: Key of the attacker, if the attack needs one.
        other_key: Key of another caller.
    """

    url: str
    key: str
    other_key: str


@dataclass
class Observations:
    """Latencies in seconds of the other caller and of /health, and how many responses had which status."""

    small: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    small_statuses: Counter[str] = field(default_factory=Counter)
    attack: Counter[str] = field(default_factory=Counter)


Attack = Callable[[Target, float, Counter[str]], Awaitable[None]]


async def slow_bodies(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """3,000 connections without a key that announce a body of 1 MB and send one byte."""
    await _slow_bodies(target, seconds, statuses, None)


async def slow_bodies_with_key(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """3,000 connections with a key that announce a body of 1 MB and send one byte."""
    await _slow_bodies(target, seconds, statuses, target.key)


async def _slow_bodies(target: Target, seconds: float, statuses: Counter[str], key: str | None) -> None:
    async with RawConnections(target.url) as connections:
        await connections.open_slow_bodies(3000, key)
        await asyncio.sleep(seconds)
        statuses.update(connections.statuses())


async def json_bombs(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """Bodies of 16.5 MB of empty lists without a key, 6 at a time."""
    await _post_in_parallel(target, seconds, statuses, 6, None, b"[" + b"[]," * 5_499_990 + b"[]]")


async def json_bombs_with_key(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """Bodies of 16.5 MB of empty lists with a key, 6 at a time."""
    await _post_in_parallel(target, seconds, statuses, 6, target.key, b"[" + b"[]," * 5_499_990 + b"[]]")


async def saturation(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """Requests of 1,000 documents with a key, 8 at a time."""
    document = " ".join(WORDS * 8)
    body = _rerank_body([f"{n} {document}" for n in range(1000)])
    await _post_in_parallel(target, seconds, statuses, 8, target.key, body)


async def long_documents(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """Requests of 75 documents of 99,600 characters with a key, 4 at a time."""
    document = (" ".join(WORDS) + " ") * 1200
    body = _rerank_body([f"{n} {document[:99_600]}" for n in range(75)])
    await _post_in_parallel(target, seconds, statuses, 4, target.key, body)


async def unbroken_documents(target: Target, seconds: float, statuses: Counter[str]) -> None:
    """Requests of 75 documents of 99,000 characters that make up few tokens, with a key, 4 at a time."""
    body = _rerank_body([f"{n}" + "e\u0301" * 49_500 for n in range(75)])
    await _post_in_parallel(target, seconds, statuses, 4, target.key, body)


ATTACKS: tuple[Attack, ...] = (
    slow_bodies,
    slow_bodies_with_key,
    json_bombs,
    json_bombs_with_key,
    saturation,
    long_documents,
    unbroken_documents,
)


def _rerank_body(documents: list[str]) -> bytes:
    import json

    return json.dumps({"query": SMALL["query"], "documents": documents}, ensure_ascii=False).encode()


async def _post_in_parallel(
    target: Target, seconds: float, statuses: Counter[str], count: int, key: str | None, body: bytes
) -> None:
    """Send the same body again and again, a number of requests at a time."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    end = time.monotonic() + seconds
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def repeat() -> None:
            while time.monotonic() < end:
                try:
                    async with session.post(f"{target.url}/v1/rerank", data=body, headers=headers) as response:
                        await response.read()
                        statuses[str(response.status)] += 1
                        if response.status != 200:
                            await asyncio.sleep(0.1)
                except (aiohttp.ClientError, TimeoutError) as error:
                    statuses[type(error).__name__] += 1
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(repeat() for _ in range(count)))


async def _probe(target: Target, observed: Observations, stop: asyncio.Event) -> None:
    """Measure /health and a small request with `other_key` until `stop` is set."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {"authorization": f"Bearer {target.other_key}"}

    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def timed(latencies: list[float], method: str, path: str, **options: object) -> str:
            started = time.perf_counter()
            try:
                async with session.request(method, f"{target.url}{path}", **options) as response:  # type: ignore[arg-type]
                    await response.read()
                    status = str(response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                status = type(error).__name__
            latencies.append(time.perf_counter() - started)
            return status

        async def repeat(probe: Callable[[], Awaitable[str]], statuses: Counter[str]) -> None:
            while not stop.is_set():
                statuses[await probe()] += 1
                await asyncio.sleep(PROBE_SECONDS)

        await asyncio.gather(
            repeat(lambda: timed(observed.health, "GET", "/health"), Counter()),
            repeat(
                lambda: timed(observed.small, "POST", "/v1/rerank", json=SMALL, headers=headers),
                observed.small_statuses,
            ),
        )


async def observe(target: Target, attack: Attack | None, seconds: float) -> Observations:
    """Run an attack for some seconds and return what other callers see. None: no attack."""
    observed, stop = Observations(), asyncio.Event()
    probe = asyncio.create_task(_probe(target, observed, stop))
    if attack is None:
        await asyncio.sleep(seconds)
    else:
        await attack(target, seconds, observed.attack)
    stop.set()
    await probe
    return observed


def _row(name: str, observed: Observations, idle_p95: float) -> list[str]:
    small = _quantile(observed.small, 0.95)
    return [
        name,
        f"{1000 * _quantile(observed.health, 1):,.0f}",
        f"{1000 * statistics.median(observed.small):,.0f}",
        f"{1000 * small:,.0f}",
        f"{small / idle_p95:.1f}",
        _counts(observed.small_statuses),
        _counts(observed.attack),
    ]


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _counts(statuses: Counter[str]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))


def main() -> None:
    """Run the attacks one after the other and print one table row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--key", required=True)
    parser.add_argument("--other-key", required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", nargs="*", choices=[attack.__name__ for attack in ATTACKS])
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    target = Target(arguments.url.rstrip("/"), arguments.key, arguments.other_key)
    asyncio.run(observe(target, None, 5))  # warm up
    idle = asyncio.run(observe(target, None, arguments.seconds))
    idle_p95 = _quantile(idle.small, 0.95)
    table = Table(
        "attack",
        "/health max, ms",
        "small request p50, ms",
        "p95, ms",
        "p95 / idle",
        "its statuses",
        "attack's statuses",
    )
    table.add_row(*_row("none", idle, idle_p95))
    for attack in ATTACKS:
        if not arguments.only or attack.__name__ in arguments.only:
            observed = asyncio.run(observe(target, attack, arguments.seconds))
            table.add_row(*_row(attack.__name__, observed, idle_p95))
            time.sleep(5)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
