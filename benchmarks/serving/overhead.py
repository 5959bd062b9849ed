"""Measure the time of a request around the model: parsing, checks, tokenizing, queues, caches and the response.

    python -m benchmarks.serving.overhead [--requests 300] [--profile]

Sends requests of 50 documents to the service's ASGI application in this process, without Ray and without a network. The
tokenizer is that of `minilm-cross`. The model is replaced: it returns a number at once. Each configuration of caches
sends other queries with the same documents, and then the same requests again. Prints the medians of
wall-clock time, and the mean CPU time of all threads, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import functools
import json
import pstats
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from transformers import AutoTokenizer

from actors.serving.caches.replica_caches import ReplicaCaches
from actors.serving.http_api.application import api
from actors.serving.ingress import Ingress
from actors.serving.scoring.batching import TokenBatcher
from actors.serving.scoring.reranker import Reranker
from actors.serving.scoring.tokenizing import TokenizerQueue
from actors.serving.serving_settings import CacheSettings, ServingSettings
from ranking.collections import pydoc
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students.scoring import Scorer, TokenizedPair

DOCUMENTS, WORDS, LENGTH = 50, 60, 160
CONFIGURATIONS: dict[str, dict[str, int]] = {
    "no cache": {},
    "documents": {"documents_mb": 64},
    "scores": {"scores_mb": 64},
    "scores and documents": {"scores_mb": 64, "documents_mb": 64},
}


class ConstantScorer(Scorer):
    """A student with a tokenizer and without a model."""

    blend = None
    is_calibrated = True
    chunk_tokens, streams = 8192, 1

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(model_path("minilm-cross"), trust_remote_code=False)
        self.max_length = LENGTH

    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs by their number of tokens."""
        return [float(row.tokens) for row in rows]


class NoMetrics:
    """Replaces metrics, which need a Ray cluster."""

    def __getattr__(self, name: str) -> Any:
        """Return a function that does nothing."""
        return lambda *values: None


class OneVersion:
    """Replaces `LoadedModels`, which needs a registry."""

    challenger_is_champion = False

    def __init__(self, caches: ReplicaCaches) -> None:
        self._served = SimpleNamespace(version="benchmark", scorer=ConstantScorer())
        caches.prepare(self._served.scorer)

    def of(self, role: str) -> SimpleNamespace:
        """Return the version."""
        return self._served

    def versions(self) -> dict[str, str]:
        """Return the version of the champion."""
        return {"champion": "benchmark"}


def reranker(cache: CacheSettings) -> Reranker:
    """Make a re-ranker whose model takes no time and whose metrics are not exported."""
    made = Reranker.__new__(Reranker)
    made._metrics = NoMetrics()  # type: ignore[assignment]
    made._cache = ReplicaCaches(cache, lambda name: NoMetrics())
    made._models = OneVersion(made._cache)  # type: ignore[assignment]
    made._batcher, made._tokenizers = TokenBatcher(), TokenizerQueue()
    return made


def service(folder: Path, cache: CacheSettings) -> Any:
    """Create the service's replica in this process, without Ray."""
    without_serve = Ingress.func_or_class.__mro__[1]  # type: ignore[attr-defined]
    replaced = {"Reranker": lambda *_: reranker(cache), "IngressMetrics": NoMetrics}
    with mock.patch.dict(without_serve.__init__.__globals__, replaced):
        return without_serve(Folder(folder), ServingSettings(), None)


@functools.cache
def bodies(count: int, seed: int = 1) -> list[bytes]:
    """Make requests with different queries. Documents are drawn from 500 texts."""
    texts = [" ".join(document.content.split()[:WORDS]) for document in pydoc.read().documents]
    texts = [text for text in texts if len(text.split()) == WORDS][:500]
    rng = random.Random(seed)
    return [
        json.dumps({"query": f"merge sorted lists {seed} {n}", "documents": rng.sample(texts, DOCUMENTS)}).encode()
        for n in range(count)
    ]


async def send(body: bytes) -> bytes:
    """Send a request to the ASGI application and return the body of the response."""
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": headers, "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "root_path": "", "server": ("localhost", 80)}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Any) -> None:
        sent.append(message)

    await api(scope, receive, collect)
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent[1:])


async def milliseconds(requests: Sequence[bytes]) -> tuple[float, float]:
    """Send requests one by one. Return the median time and the mean CPU time, both in milliseconds."""
    seconds, before = [], time.process_time()
    for body in requests:
        started = time.perf_counter()
        await send(body)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds), 1000 * (time.process_time() - before) / len(requests)


def measure(cache: dict[str, int], count: int, profile: bool) -> tuple[float, ...]:
    """Return time and CPU time of new queries, then of repeated requests, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        replica = service(Path(folder), CacheSettings(**cache))
        context = SimpleNamespace(servable_object=replica)
        with mock.patch("ray.serve.get_replica_context", return_value=context), _Profiled(profile):
            return asyncio.run(_both(count))


async def _both(count: int) -> tuple[float, ...]:
    await milliseconds(bodies(50, seed=2))  # warm-up
    requests = bodies(count)
    return *await milliseconds(requests), *await milliseconds(requests)


class _Profiled:
    """Print the functions of the event loop's thread with the most time of their own."""

    def __init__(self, enabled: bool) -> None:
        self._profile = cProfile.Profile() if enabled else None

    def __enter__(self) -> None:
        if self._profile:
            self._profile.enable()

    def __exit__(self, *error: object) -> None:
        if self._profile:
            self._profile.disable()
            pstats.Stats(self._profile).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measure all configurations and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--profile", action="store_true", help="print a profile of each configuration")
    arguments = parser.parse_args()
    print(f"{'caches':24}{'new query, ms':>16}{'CPU':>8}{'repeated, ms':>16}{'CPU':>8}")
    for name, cache in CONFIGURATIONS.items():
        values = measure(cache, arguments.requests, arguments.profile)
        print(f"{name:24}{values[0]:16.2f}{values[1]:8.2f}{values[2]:16.2f}{values[3]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
