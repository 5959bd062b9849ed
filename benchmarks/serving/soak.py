"""Run our service at 80% of its saturation for half an hour, with champion changes and killed replicas.

    python -m benchmarks.serving.soak [--minutes 30] [--replicas 2]

Requests arrive in an open loop, each a query with 50 documents of about 60 words. Every five minutes the other version
is promoted, and every three minutes a replica is killed with SIGKILL. Clients retry once after a connection error, a
timeout, or status 429, 500, 502, 503 or 504. Each response must have the order of the version that it names. Prints
failures, latencies per minute, and the memory of replicas older than a minute and of all other processes. Exits with
code 1 if a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from benchmarks.serving.load import saturated
from benchmarks.serving.measure import DOCUMENTS, PORT, requests_of, saved_model
from benchmarks.serving.peers import ours, running
from benchmarks.serving.soak_requests import SoakResult, load
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.scoring import Scorer

LOAD_SHARE = 0.8
PROMOTION_SECONDS, KILL_SECONDS, MEMORY_SECONDS = 300.0, 180.0, 10.0
REPLICA = "ServeReplica:rradistill:Ingress"
MIN_REPLICA_AGE_SECONDS = 60.0
WARM_UP_SECONDS = 120.0


def replicas_of(service: psutil.Process) -> list[psutil.Process]:
    """Return the replica processes that are running."""
    return [process for process in _process_tree(service) if REPLICA in _name(process)]


def _process_tree(service: psutil.Process) -> list[psutil.Process]:
    return [service, *service.children(recursive=True)]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _memory(process: psutil.Process) -> int:
    """Return the unique set size in bytes: the memory that is freed if the process ends."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


async def disturb(
    registry: Registry, service: psutil.Process, start: float, seconds: float, result: SoakResult
) -> None:
    """Promote versions and kill replicas at fixed intervals, until 30 s before the end."""
    generator = random.Random(3)
    promotions = [(PROMOTION_SECONDS * n, "promote") for n in range(1, 1000)]
    kills = [(KILL_SECONDS * n + 20, "kill") for n in range(1, 1000)]
    for at, event in sorted(promotions + kills):
        if at > seconds - 30:
            return
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        if event == "kill":
            replicas = replicas_of(service)
            if replicas:
                generator.choice(replicas).kill()
                result.events.append(f"{at:.0f} s: killed one of {len(replicas)} replicas")
        else:
            champion, _ = registry.champion()
            other = "b" if champion.champion == "a" else "a"
            registry.promote_again(other, "soak")
            result.events.append(f"{at:.0f} s: promoted {other}")


async def watch(service: psutil.Process, start: float, seconds: float, result: SoakResult) -> None:
    """Record memory every ten seconds. Replicas count only if they are older than a minute."""
    while time.perf_counter() < start + seconds:
        await asyncio.sleep(MEMORY_SECONDS)
        processes = await asyncio.to_thread(_process_tree, service)
        at = time.perf_counter() - start
        replicas = [
            process
            for process in processes
            if REPLICA in _name(process) and time.time() - process.create_time() > MIN_REPLICA_AGE_SECONDS
        ]
        if replicas:
            result.replica_memory.append((at, sum(map(_memory, replicas)) // len(replicas)))
        result.other_memory.append(
            (at, sum(_memory(process) for process in processes if REPLICA not in _name(process)))
        )


async def soak(
    url: str, service: psutil.Process, registry: Registry, bodies: list[bytes], orders: Any, rate: float, seconds: float
) -> SoakResult:
    """Send requests, disturb the service and record its memory concurrently."""
    result, start = SoakResult(), time.perf_counter()
    await asyncio.gather(
        load(url, bodies, orders, rate, start, seconds, result),
        disturb(registry, service, start, seconds, result),
        watch(service, start, seconds, result),
    )
    return result


def main() -> None:
    """Measure saturation, run the soak test and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="duration")
    parser.add_argument("--replicas", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as local:
        models = {name: saved_model(Path(local) / name, seed) for name, seed in (("a", 1), ("b", 2))}
        requests = requests_of(AutoTokenizer.from_pretrained(models["a"], trust_remote_code=False))
        orders = orders_of(models, requests)
        registry = Registry(Folder(Path(local) / "storage"))
        registry.promote(Folder(models["a"]), "a", "soak", "to be disturbed")
        registry.add(Folder(models["b"]), "b")
        bodies = [json.dumps(request).encode() for request in requests]
        server = ours(Path(local) / "storage", PORT, replicas=arguments.replicas, page="false")
        with running(server, PORT, Path(local) / "log.txt") as running_server:
            url = running_server.url
            asyncio.run(saturated(url, bodies, 4, 4))  # warm-up
            rate = asyncio.run(saturated(url, bodies, 16, 24)).rate(2, 22)
            print(
                f"saturation at {DOCUMENTS * rate:.0f} documents/s; "
                f"load at {LOAD_SHARE:.0%} of it for {arguments.minutes:g} minutes",
                flush=True,
            )
            service = psutil.Process(running_server.process.pid)
            seconds = 60 * arguments.minutes
            result = asyncio.run(soak(url, service, registry, bodies, orders, LOAD_SHARE * rate, seconds))
    show(result)
    raise SystemExit(1 if result.failed else 0)


def orders_of(models: dict[str, Path], requests: list[dict[str, Any]]) -> list[dict[str, list[int]]]:
    """Compute the order of each version for each request.

    Returns:
        {version: indices, best first}, one per request.
    """
    scorers = {name: Scorer(folder) for name, folder in models.items()}
    orders = []
    for request in requests:
        pairs = [(request["query"], document) for document in request["documents"]]
        scores = {name: scorer.score(pairs) for name, scorer in scorers.items()}
        orders.append({name: _best_first(values) for name, values in scores.items()})
    return orders


def _best_first(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def show(result: SoakResult) -> None:
    """Print latencies per minute, events, failures and memory."""
    by_minute = defaultdict(list)
    for at, seconds in result.latencies:
        by_minute[int(at // 60)].append(1000 * seconds)
    table = Table("minute", "responses", "p50 ms", "p95 ms", "max ms")
    for minute, latencies in sorted(by_minute.items()):
        latencies.sort()
        values = (statistics.median(latencies), latencies[int(0.95 * len(latencies))], latencies[-1])
        table.add_row(str(minute), str(len(latencies)), *(f"{value:,.0f}" for value in values))
    Console(width=100).print(table)
    print("\n".join(result.events))
    print(
        f"responses {len(result.latencies):,} (by version {dict(result.versions)}); "
        f"retries {dict(result.retries)}; failed {len(result.failed)}"
    )
    for failure in result.failed[:20]:
        print(f"  {failure}")
    for name, samples in (("a replica", result.replica_memory), ("all other processes", result.other_memory)):
        memory = [size for at, size in samples if at > WARM_UP_SECONDS]
        third = max(1, len(memory) // 3)
        first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
        print(
            f"memory of {name}: {first / 2**20:,.0f} MiB in the first third, {last / 2**20:,.0f} MiB in the last third "
            f"({last / first - 1:+.1%})"
        )


if __name__ == "__main__":
    main()
