"""Compare our service, with and without its caches, with vLLM's /rerank under traffic that repeats itself.

    python -m benchmarks.serving.replay [--seconds 15] [--requests 800] [--hit-rates]

10,000 queries with 50 documents each, from 50,000 documents of about 40 words. Queries and documents are drawn
uniformly and by Zipf's law with exponents 0.8 and 1.0. The servers run in turn on the same cores with the same weights
as in `measure`, and get the same requests in the same order: 16 in flight. Caches contain nothing of a load when it
starts, because each load has its own texts. Prints documents/s, the median latency, the ratios, and the hit rates that
a longer replay would have. With the defaults it is meant to take less than 8 minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from benchmarks.serving.load import saturated
from benchmarks.serving.measure import LENGTH, PORT, REQUESTS_IN_FLIGHT, bodies_for, saved_model
from benchmarks.serving.peers import RankServer, ours, running, servers_of
from benchmarks.serving.repeated_traffic import ReplayRequest, Traffic, expected_hit_rates
from ranking.collections import pydoc

TRAFFIC = {"uniform": Traffic(0.0), "Zipf 0.8": Traffic(0.8), "Zipf 1.0": Traffic(1.0)}
CACHES = {"scores_mb": 64, "documents_mb": 64}
CACHED_PAIRS, CACHED_DOCUMENTS = 64 * 2**20 // 384, 64 * 2**20 // 700
"""Entries of 64 MiB: 384 bytes per pair, and about 700 per document of 80 tokens."""

DOCUMENT_WORDS, QUERY_WORDS, QUERY_TOKENS, SPECIAL_TOKENS = 40, 5, 20, 3


class ReplayTexts:
    """Texts of queries and documents, made of words of the pydoc collection."""

    def __init__(self, tokenizer: Any) -> None:
        """Read the words.

        Args:
            tokenizer: Tokenizer of the model. Texts are cut so that a pair is not truncated, which vLLM refuses.
        """
        self._tokenizer = tokenizer
        self._words = " ".join(document.content for document in pydoc.read().documents).split()

    def query(self, load: str, number: int) -> str:
        """Return the text of a query."""
        return self._text(f"{load} query {number}", QUERY_WORDS, QUERY_TOKENS)

    def document(self, load: str, number: int) -> str:
        """Return the text of a document."""
        return self._text(f"{load} document {number}", DOCUMENT_WORDS, LENGTH - QUERY_TOKENS - SPECIAL_TOKENS)

    def request(self, load: str, request: ReplayRequest) -> dict[str, Any]:
        """Return the body of a request."""
        return {
            "query": self.query(load, request.query),
            "documents": [self.document(load, number) for number in request.documents],
        }

    @functools.cache  # noqa: B019  (one object per process)
    def _text(self, name: str, words: int, tokens: int) -> str:
        """Return the name and consecutive words from a place that depends on it, cut to a number of tokens."""
        start = random.Random(name).randrange(len(self._words) - words)
        text = " ".join([name, *self._words[start : start + words]])
        encoded = self._tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=tokens, return_offsets_mapping=True
        )
        return text[: encoded["offset_mapping"][-1][1]]


def servers(model: Path, storage: Path) -> list[RankServer]:
    """Describe the servers: ours with both caches, ours without, and vLLM."""
    plain, vllm = (server for server in servers_of(model, storage, PORT, None) if server.name in ("ours", "vLLM"))
    cached = replace(ours(storage, PORT, cache=json.dumps(CACHES)), name="ours, caches")
    return [cached, plain, vllm]


def drawn(traffic: Traffic, count: int) -> list[ReplayRequest]:
    """Draw the first requests of some traffic."""
    return list(itertools.islice(traffic.requests(), count))


def measure_replay(url: str, bodies: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Send requests with a constant number in flight. Return documents/s, the median latency and failures."""
    result = asyncio.run(saturated(url, bodies, REQUESTS_IN_FLIGHT, seconds))
    if len(result.ended) > len(bodies):
        print(f"{len(result.ended):,} requests were sent, so some more than once; raise --requests", flush=True)
    return {
        "documents/s": TRAFFIC["uniform"].per_query * result.rate(min(2.0, seconds / 4), seconds),
        "p50, ms": result.quantile(0.5),
        "failed": result.failed,
    }


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a table per traffic, and the ratios to our service without caches and to vLLM.

    Args:
        results: {server: {traffic: {measure: value}}}.
    """
    table = Table("server", "traffic", "documents/s", "p50, ms", "failed")
    for server, by_traffic in results.items():
        for name, values in by_traffic.items():
            table.add_row(server, name, *(f"{value:,.0f}" for value in values.values()))
    Console(width=120).print(table)
    cached = results.get("ours, caches", {})
    for other in (name for name in results if name != "ours, caches"):
        for name, values in cached.items():
            ratio = values["documents/s"] / results[other][name]["documents/s"]
            print(f"documents/s with caches / {other}, {name}: {ratio:.2f}")


def show_hit_rates() -> None:
    """Print the hit rates of 64 MiB caches that start empty, by traffic and number of requests."""
    for name, traffic in TRAFFIC.items():
        requests = drawn(traffic, 10_000)
        for count in (100, 1000, 10_000):
            scores, documents = expected_hit_rates(requests[:count], CACHED_PAIRS, CACHED_DOCUMENTS)
            print(f"{name}, {count:,} requests: {scores:.0%} of pairs and {documents:.0%} of documents are cached")


def main() -> None:
    """Measure all servers under all traffic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="seconds per server and traffic")
    parser.add_argument("--requests", type=int, default=800, help="different requests per traffic")
    parser.add_argument("--hit-rates", action="store_true", help="only compute the hit rates, without any server")
    arguments = parser.parse_args()
    show_hit_rates()
    if arguments.hit_rates:
        return
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as local:
        model = saved_model(Path(local) / "model")
        texts = ReplayTexts(AutoTokenizer.from_pretrained(model, trust_remote_code=False))
        requests = {
            name: [texts.request(name, each) for each in drawn(traffic, arguments.requests)]
            for name, traffic in TRAFFIC.items()
        }
        for server in servers(model, Path(local) / "storage"):
            with running(server, PORT, Path(local) / "log.txt") as process:
                warm_up = bodies_for(server, [{"query": "warm up", "documents": ["a document"] * 50}])
                asyncio.run(saturated(process.url, warm_up, 4, 3))
                for name in TRAFFIC:
                    measured = measure_replay(process.url, bodies_for(server, requests[name]), arguments.seconds)
                    results.setdefault(server.name, {})[name] = measured
                    print(server.name, name, measured, flush=True)
    show(results)


if __name__ == "__main__":
    main()
