"""Our service beside vLLM's /rerank, Infinity, and sentence-transformers behind FastAPI: the same weights, on the same cores, in turns.

    python -m benchmarks.serving.measure [--infinity PATH/infinity_emb] [--seconds 20] [--rounds 2]

A request is a query with 50 documents of about 60 words. For each side: one request after another; saturation, with 16 requests
under way; then an open loop at half of that. Ours is asked at half of the best other's rate too. Prints a table
and the ratios. The model is minilm as a plain classifier with a random head, saved as a student.
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

from benchmarks.serving.load import alone, poisson, saturated
from benchmarks.serving.peers import RankServer, running, sides_of
from ranking.collections import pydoc
from ranking.model_paths import model_path
from students import export, kinds
from students.settings import RraBertSettings

DOCUMENTS, WORDS, LENGTH = 50, 60, 128
WAITING = 16
ALONE = 20
PORT = 8191
SAME = "other's half p95"


def saved_model(folder: Path, seed: int = 1) -> Path:
    """A student of minilm's size, in the form that all sides can load."""
    settings = RraBertSettings(base="minilm", max_length=LENGTH)
    torch.manual_seed(seed)
    model = kinds.build(settings, model_path("minilm")).eval()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=0.5)
    probes = [("merge sorted lists", "Merge several sorted inputs."), ("wait", "time.sleep")]
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, folder, probes)
    return folder


def requests_of(tokenizer: Any, count: int = 16) -> list[dict[str, Any]]:
    """Queries with documents that no side has to cut."""
    collection = pydoc.read()
    cut = [
        " ".join(document.content.split()[:WORDS])
        for document in collection.documents
        if len(document.content.split()) >= WORDS
    ]
    requests = []
    for number, query in enumerate(collection.test[:count]):
        some = (cut[(number * 97 + place * 13) % len(cut)] for place in range(10 * DOCUMENTS))
        fitting = [text for text in some if len(tokenizer(query.text, text)["input_ids"]) <= LENGTH]
        requests.append({"query": query.text, "documents": fitting[:DOCUMENTS]})
    return requests


def bodies_for(side: RankServer, requests: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps({**request, **({"model": side.model} if side.model else {})}).encode() for request in requests]


def timed(url: str, bodies: list[bytes], seconds: float, rates: list[float]) -> dict[str, float]:
    """Measure a running server. rates: of further open loops, besides half of its own saturation."""
    asyncio.run(saturated(url, bodies, 4, 4))  # warm
    lone = asyncio.run(alone(url, bodies, ALONE))
    full = asyncio.run(saturated(url, bodies, WAITING, seconds + 4))
    rate = full.rate(2, seconds + 2)
    found = {"alone p50": lone.quantile(0.5), "alone p95": lone.quantile(0.95), "documents/s": DOCUMENTS * rate}
    half = asyncio.run(poisson(url, bodies, rate / 2, 1.5 * seconds))
    found |= {
        "half p50": half.quantile(0.5),
        "half p95": half.quantile(0.95),
        "failed": lone.failed + full.failed + half.failed,
    }
    for other in rates:
        same = asyncio.run(poisson(url, bodies, other, 1.5 * seconds))
        found |= {SAME: same.quantile(0.95)}
        found["failed"] += same.failed
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infinity", help="Infinity's program, of an environment of its own")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+")
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        model = saved_model(Path(place) / "model")
        requests = requests_of(AutoTokenizer.from_pretrained(model))
        sides = [
            side
            for side in sides_of(model, Path(place) / "storage", PORT, given.infinity)
            if not given.only or side.name in given.only
        ]
        for _ in range(given.rounds):
            best = 0.0
            for side in reversed(sides):  # ours last, as it is asked at the best other's rate too
                with running(side, PORT, Path(place) / "log.txt") as server:
                    rates = [best / DOCUMENTS / 2] if side.name == "ours" and best else []
                    found[side.name].append(timed(server.url, bodies_for(side, requests), given.seconds, rates))
                best = max(best, 0.0 if side.name == "ours" else found[side.name][-1]["documents/s"])
                print(side.name, found[side.name][-1], flush=True)
    show({name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()})


def show(found: dict[str, dict[str, float]]) -> None:
    columns = list(max(found.values(), key=len))
    table = Table("server", *columns)
    for name, values in found.items():
        table.add_row(name, *(f"{values[key]:,.0f}" if key in values else "" for key in columns))
    Console(width=120).print(table)
    others = {name: values for name, values in found.items() if name != "ours"}
    if "ours" in found and others:
        ours = found["ours"]
        best = max(others, key=lambda name: others[name]["documents/s"])
        quickest = min(others, key=lambda name: others[name]["half p95"])
        at_once, p95 = (
            ours["documents/s"] / others[best]["documents/s"],
            ours["half p95"] / others[quickest]["half p95"],
        )
        print(f"documents/s at saturation: {at_once:.2f} times those of {best}, the best other (asked: 1.5)")
        print(
            f"p95 at half load: {p95:.2f} times that of {quickest}, the quickest other at its own half load (asked: at most 1)"
        )
        print(f"p95 at the half load of {best}: {ours[SAME] / others[best]['half p95']:.2f} times its own")


if __name__ == "__main__":
    main()
