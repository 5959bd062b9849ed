"""Compare our service with vLLM's /rerank, Infinity, and sentence-transformers behind FastAPI.

    python -m benchmarks.serving.measure [--infinity PATH/infinity_emb] [--seconds 20] [--rounds 2]

The servers run in turn on the same cores with the same weights: `minilm` as a plain classifier with a random head,
saved as a student. A request is a query with 50 documents of about 60 words. Each server gets sequential requests, then
16 requests in flight (saturation), then an open loop at half of its saturation rate. Our service also gets an open loop
at half of the saturation rate of the best other server. Prints a table and the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from benchmarks.serving.load import poisson, saturated, sequential
from benchmarks.serving.peers import RankServer, running, servers_of
from ranking.collections import pydoc
from ranking.model_paths import model_path
from students import export, kinds
from students.student_settings import RraBertSettings

DOCUMENTS, WORDS, LENGTH = 50, 60, 128
REQUESTS_IN_FLIGHT = 16
SEQUENTIAL_REQUESTS = 20
PORT = 8191
SAME = "other's half p95"


def saved_model(folder: Path, seed: int = 1) -> Path:
    """Save a student that all servers can load: `minilm` with a random head. Return its folder."""
    settings = RraBertSettings(base="minilm", max_length=LENGTH)
    torch.manual_seed(seed)
    model = kinds.build(settings, model_path("minilm")).eval()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    probes = [("merge sorted lists", "Merge several sorted inputs."), ("wait", "time.sleep")]
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, folder, probes)
    return folder


def requests_of(tokenizer: Any, count: int = 16) -> list[dict[str, Any]]:
    """Make requests whose pairs fit into the model untruncated.

    Args:
        tokenizer: Tokenizer of the model.
        count: Number of requests.
    """
    collection = pydoc.read()
    texts = [
        " ".join(document.content.split()[:WORDS])
        for document in collection.documents
        if len(document.content.split()) >= WORDS
    ]
    requests = []
    for number, query in enumerate(collection.test[:count]):
        sample = (texts[(number * 97 + place * 13) % len(texts)] for place in range(10 * DOCUMENTS))
        fitting = [text for text in sample if len(tokenizer(query.text, text)["input_ids"]) <= LENGTH]
        requests.append({"query": query.text, "documents": fitting[:DOCUMENTS]})
    return requests


def bodies_for(server: RankServer, requests: list[dict[str, Any]]) -> list[bytes]:
    """Encode requests as JSON, with the model's name for servers that require it."""
    return [
        json.dumps({**request, **({"model": server.model} if server.model else {})}).encode() for request in requests
    ]


def measure_server(url: str, bodies: list[bytes], seconds: float, other_rates: list[float]) -> dict[str, float]:
    """Measure a running server.

    Args:
        url: URL of its rerank endpoint.
        bodies: Request bodies.
        seconds: Duration of the saturation; open loops take 1.5 times as long.
        other_rates: Requests per second of further open loops, in addition to half of the server's own saturation rate.

    Returns:
        Latencies in milliseconds, documents per second at saturation, and the number of failed requests.
    """
    asyncio.run(saturated(url, bodies, 4, 4))  # warm-up
    one_by_one = asyncio.run(sequential(url, bodies, SEQUENTIAL_REQUESTS))
    full = asyncio.run(saturated(url, bodies, REQUESTS_IN_FLIGHT, seconds + 4))
    rate = full.rate(2, seconds + 2)
    measured = {
        "sequential p50": one_by_one.quantile(0.5),
        "sequential p95": one_by_one.quantile(0.95),
        "documents/s": DOCUMENTS * rate,
    }
    half = asyncio.run(poisson(url, bodies, rate / 2, 1.5 * seconds))
    measured |= {
        "half p50": half.quantile(0.5),
        "half p95": half.quantile(0.95),
        "failed": one_by_one.failed + full.failed + half.failed,
    }
    for other_rate in other_rates:
        same = asyncio.run(poisson(url, bodies, other_rate, 1.5 * seconds))
        measured |= {SAME: same.quantile(0.95)}
        measured["failed"] += same.failed
    return measured


def main() -> None:
    """Measure all servers and print the medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--infinity", help="path of infinity_emb in its own environment; without it Infinity is skipped"
    )
    parser.add_argument("--seconds", type=float, default=20, help="seconds of saturation per server and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="names of the servers to measure")
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as local:
        model = saved_model(Path(local) / "model")
        requests = requests_of(AutoTokenizer.from_pretrained(model, trust_remote_code=False))
        servers = [
            server
            for server in servers_of(model, Path(local) / "storage", PORT, arguments.infinity)
            if not arguments.only or server.name in arguments.only
        ]
        for _ in range(arguments.rounds):
            best = 0.0
            for server in reversed(servers):  # ours is last: it also gets half the rate of the best other server
                name = server.name
                with running(server, PORT, Path(local) / "log.txt") as process:
                    rates = [best / DOCUMENTS / 2] if name == "ours" and best else []
                    bodies = bodies_for(server, requests)
                    results[name].append(measure_server(process.url, bodies, arguments.seconds, rates))
                best = max(best, 0.0 if name == "ours" else results[name][-1]["documents/s"])
                print(name, results[name][-1], flush=True)
    show(
        {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in results.items()}
    )


def show(results: dict[str, dict[str, float]]) -> None:
    """Print a table of all servers and the ratios of ours to the best others.

    Args:
        results: {server: {measure: value}}.
    """
    columns = list(max(results.values(), key=len))
    table = Table("server", *columns)
    for name, values in results.items():
        table.add_row(name, *(f"{values[key]:,.0f}" if key in values else "" for key in columns))
    Console(width=120).print(table)
    others = {name: values for name, values in results.items() if name != "ours"}
    if "ours" in results and others:
        ours = results["ours"]
        best = max(others, key=lambda name: others[name]["documents/s"])
        quickest = min(others, key=lambda name: others[name]["half p95"])
        throughput = ours["documents/s"] / others[best]["documents/s"]
        p95 = ours["half p95"] / others[quickest]["half p95"]
        print(f"documents/s at saturation, ours / {best} (best other): {throughput:.2f} (target: at least 1.5)")
        print(
            f"p95 at half load, ours / {quickest} (fastest other, at its own half load): {p95:.2f} (target: at most 1)"
        )
        print(f"p95 at the half load of {best}, ours / {best}: {ours[SAME] / others[best]['half p95']:.2f}")


if __name__ == "__main__":
    main()
