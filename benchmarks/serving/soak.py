"""Our service at 80% of its saturation for half an hour, while champions change and replicas are killed.

    python -m benchmarks.serving.soak [--minutes 30] [--replicas 2]

An open loop of requests, each a query with 50 documents of about 60 words. Every five minutes another version is promoted,
every three a replica is killed with SIGKILL. A client asks again once where it gets no answer, or status 429, 500, 502, 503 or
504. Each answer must have the order that its version gives. Prints what failed, latencies minute by minute, and the memory of the
service's processes: of replicas while they are older than a minute, and of all others. Exit code 1 where a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from benchmarks.serving.load import HEADERS, saturated
from benchmarks.serving.measure import DOCUMENTS, PORT, requests_of, saved_model
from benchmarks.serving.peers import ours, running
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.scoring import Scorer

SHARE = 0.8
CHANGE, KILL, LOOK = 300.0, 180.0, 10.0
AGAIN = {429, 500, 502, 503, 504}
REPLICA = "ServeReplica:rradistill:Ingress"
GROWN_UP = 60.0
WARM = 120.0


@dataclass
class SoakResult:
    """What came of the requests, and what memory was in use. All times in seconds from the begin."""

    seconds: list[tuple[float, float]] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    replicas: list[tuple[float, int]] = field(default_factory=list)
    others: list[tuple[float, int]] = field(default_factory=list)


async def asked(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[str, list[int]]:
    """Ask once. Returns the version and the order. Raises _FailedError."""
    try:
        async with session.post(url, data=body, headers=HEADERS) as answer:
            if answer.status != 200:
                raise _FailedError(
                    str(answer.status), float(answer.headers.get("retry-after", 0)) if answer.status in AGAIN else None
                )
            found = await answer.json()
            return answer.headers["x-model-version"], [one["index"] for one in found["results"]]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _FailedError(type(error).__name__, 0.0) from None


class _FailedError(Exception):
    """after: seconds until another try; None where there should be none."""

    def __init__(self, what: str, after: float | None) -> None:
        super().__init__(what)
        self.after = after


async def one_request(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    orders: dict[str, list[int]],
    due: float,
    began: float,
    seen: SoakResult,
) -> None:
    """A client that asks again once."""
    for last in (False, True):
        try:
            version, order = await asked(session, url, body)
        except _FailedError as error:
            if last or error.after is None:
                seen.failed.append(f"{time.perf_counter() - began:.0f} s: {error}")
                return
            seen.again[str(error)] += 1
            await asyncio.sleep(error.after)
            continue
        if order != orders[version]:
            seen.failed.append(f"{time.perf_counter() - began:.0f} s: not the order of version {version}")
        seen.versions[version] += 1
        seen.seconds.append((due - began, time.perf_counter() - due))
        return


async def load(
    url: str,
    bodies: list[bytes],
    orders: list[dict[str, list[int]]],
    rate: float,
    began: float,
    seconds: float,
    seen: SoakResult,
) -> None:
    """Requests at random moments, whether or not the ones before were answered."""
    draw, tasks, number, at = random.Random(2), [], 0, began
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=120)) as session:
        while at < began + seconds:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            which = number % len(bodies)
            tasks.append(asyncio.create_task(one_request(session, url, bodies[which], orders[which], at, began, seen)))
            at += draw.expovariate(rate)
            number += 1
        await asyncio.gather(*tasks)


def replicas_of(service: psutil.Process) -> list[psutil.Process]:
    """Those that live."""
    return [one for one in _family(service) if REPLICA in _name(one)]


def _family(service: psutil.Process) -> list[psutil.Process]:
    return [service, *service.children(recursive=True)]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _memory(process: psutil.Process) -> int:
    """Its own, in bytes: what would be free without it."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


async def disturb(registry: Registry, service: psutil.Process, began: float, seconds: float, seen: SoakResult) -> None:
    """Change champions and kill replicas at their times."""
    draw = random.Random(3)
    events = sorted(
        [(CHANGE * n, "change") for n in range(1, 1000)] + [(KILL * n + 20, "kill") for n in range(1, 1000)]
    )
    for at, what in events:
        if at > seconds - 30:
            return
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        if what == "kill":
            victims = replicas_of(service)
            if victims:
                draw.choice(victims).kill()
                seen.done.append(f"{at:.0f} s: killed one of {len(victims)} replicas")
        else:
            champion, _ = registry.champion()
            other = "b" if champion.champion == "a" else "a"
            registry.promote_again(other, "soak")
            seen.done.append(f"{at:.0f} s: promoted {other}")


async def watch(service: psutil.Process, began: float, seconds: float, seen: SoakResult) -> None:
    """Look at memory now and then. replicas: the mean of those that are older than a minute."""
    while time.perf_counter() < began + seconds:
        await asyncio.sleep(LOOK)
        family = await asyncio.to_thread(_family, service)
        at = time.perf_counter() - began
        old = [one for one in family if REPLICA in _name(one) and time.time() - one.create_time() > GROWN_UP]
        if old:
            seen.replicas.append((at, sum(map(_memory, old)) // len(old)))
        seen.others.append((at, sum(_memory(one) for one in family if REPLICA not in _name(one))))


async def soak(
    url: str, service: psutil.Process, registry: Registry, bodies: list[bytes], orders: Any, rate: float, seconds: float
) -> SoakResult:
    """All of it at once."""
    seen, began = SoakResult(), time.perf_counter()
    await asyncio.gather(
        load(url, bodies, orders, rate, began, seconds, seen),
        disturb(registry, service, began, seconds, seen),
        watch(service, began, seconds, seen),
    )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--replicas", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        models = {name: saved_model(Path(place) / name, seed) for name, seed in (("a", 1), ("b", 2))}
        requests = requests_of(AutoTokenizer.from_pretrained(models["a"]))
        orders = orders_of(models, requests)
        registry = Registry(Folder(Path(place) / "storage"))
        registry.promote(Folder(models["a"]), "a", "soak", "to be disturbed")
        registry.add(Folder(models["b"]), "b")
        bodies = [json.dumps(request).encode() for request in requests]
        side = ours(Path(place) / "storage", PORT, replicas=given.replicas, page="false")
        with running(side, PORT, Path(place) / "log.txt") as server:
            asyncio.run(saturated(server.url, bodies, 4, 4))  # warm
            full = asyncio.run(saturated(server.url, bodies, 16, 24)).rate(2, 22)
            print(
                f"saturated at {DOCUMENTS * full:.0f} documents/s; asked at {SHARE:.0%} of it for {given.minutes:g} minutes",
                flush=True,
            )
            service = psutil.Process(server.process.pid)
            seen = asyncio.run(soak(server.url, service, registry, bodies, orders, SHARE * full, 60 * given.minutes))
    show(seen)
    raise SystemExit(1 if seen.failed else 0)


def orders_of(models: dict[str, Path], requests: list[dict[str, Any]]) -> list[dict[str, list[int]]]:
    """The order that each version gives each request."""
    scorers = {name: Scorer(folder) for name, folder in models.items()}
    found = []
    for request in requests:
        pairs = [(request["query"], document) for document in request["documents"]]
        scores = {name: scorer.score(pairs) for name, scorer in scorers.items()}
        found.append(
            {name: sorted(range(len(held)), key=lambda i, held=held: (-held[i], i)) for name, held in scores.items()}
        )  # type: ignore[misc]
    return found


def show(seen: SoakResult) -> None:
    by_minute = defaultdict(list)
    for at, seconds in seen.seconds:
        by_minute[int(at // 60)].append(1000 * seconds)
    table = Table("minute", "answered", "p50 ms", "p95 ms", "longest ms")
    for minute, held in sorted(by_minute.items()):
        held.sort()
        values = (statistics.median(held), held[int(0.95 * len(held))], held[-1])
        table.add_row(str(minute), str(len(held)), *(f"{value:,.0f}" for value in values))
    Console(width=100).print(table)
    print("\n".join(seen.done))
    print(
        f"answered {len(seen.seconds):,} (by version {dict(seen.versions)}); asked again {dict(seen.again)}; failed {len(seen.failed)}"
    )
    for failure in seen.failed[:20]:
        print(f"  {failure}")
    for name, looks in (("a replica", seen.replicas), ("all other processes", seen.others)):
        held = [bytes_ for at, bytes_ in looks if at > WARM]
        third = max(1, len(held) // 3)
        first, last = statistics.median(held[:third]), statistics.median(held[-third:])
        print(
            f"memory of {name}: {first / 2**20:,.0f} MiB in the first third, {last / 2**20:,.0f} in the last: {last / first - 1:+.1%}"
        )


if __name__ == "__main__":
    main()
