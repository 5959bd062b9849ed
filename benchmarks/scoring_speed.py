"""Documents a second in re-ranking: our scorer beside sentence-transformers' CrossEncoder.predict, with the same saved student.

    python -m benchmarks.scoring_speed COLLECTION RUN [--model FOLDER] [--queries N] [--rounds N] [--max-length N]

COLLECTION: a BEIR folder; RUN: a TREC run over it, whose documents are scored, query by query as they are served, and
all at once. --model: a saved student; without it one is made of minilm, its head random. Both sides
are in fp32 on all cores, take turns in one process, and get the same pairs; the table shows the median of the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ranking.collections import beir
from ranking.evaluation.trec_runs import order_of, read_trec
from ranking.model_paths import model_path
from students import export, kinds
from students.scoring import Scorer
from students.settings import RraBertSettings

Pairs = list[tuple[str, str]]
OURS, THEIRS = "ours", "sentence-transformers"


def pairs_of(collection: Path, run: Path, queries: int) -> list[Pairs]:
    """The pairs of each query of a run, best first."""
    texts = {document.doc_id: document.content for document in beir.read_documents(collection / "corpus.jsonl")}
    asked = {query.query_id: query.text for query in beir.read_queries(collection / "queries.jsonl")}
    ranked = list(read_trec(run).items())[:queries]
    return [[(asked[query_id], texts[doc_id]) for doc_id in order_of(scores)] for query_id, scores in ranked]


def made_student(place: Path, max_length: int) -> Path:
    """A student of minilm that has learned nothing."""
    settings = RraBertSettings(base="minilm", max_length=max_length)
    torch.manual_seed(13)
    base = model_path(settings.base)
    export.save(
        kinds.build(settings, base), kinds.tokenizer_of(settings, base), settings, place, [("a query", "a document")]
    )
    return place


def sides_of(model: Path, max_length: int) -> dict[str, Callable[[Pairs], list[float]]]:
    """Both ways to score pairs."""
    from sentence_transformers import CrossEncoder

    scorer = Scorer(model, "fp32")
    encoder = CrossEncoder(str(model), device="cpu", max_length=max_length)
    raw = torch.nn.Identity()
    return {
        OURS: scorer.score,
        THEIRS: lambda pairs: encoder.predict(pairs, activation_fn=raw, show_progress_bar=False).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--queries", type=int, default=43)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=256)
    given = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    lists = pairs_of(given.collection, given.run, given.queries)
    every = list(itertools.chain(*lists))
    with tempfile.TemporaryDirectory() as place:
        model = given.model or made_student(Path(place) / "model", given.max_length)
        sides = sides_of(model, given.max_length)
        scores = {name: score(every) for name, score in sides.items()}  # warms up, too
        difference = max(abs(one - other) for one, other in zip(scores[OURS], scores[THEIRS], strict=True))
        table = Table(
            "documents/s",
            OURS,
            THEIRS,
            "ratio",
            title=f"{len(lists)} queries, {len(every):,} pairs, {given.rounds} rounds",
        )
        for title, batches in (("query by query", lists), ("all at once", [every])):
            rates: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(given.rounds):
                for name, score in sides.items():
                    began = time.perf_counter()
                    for pairs in batches:
                        score(pairs)
                    rates[name].append(len(every) / (time.perf_counter() - began))
            ours, theirs = (statistics.median(rates[name]) for name in (OURS, THEIRS))
            ratios = [one / other for one, other in zip(rates[OURS], rates[THEIRS], strict=True)]
            table.add_row(
                title,
                f"{ours:.0f}",
                f"{theirs:.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            )
    Console().print(table)
    print(f"largest difference of a score: {difference:.1e} (asked: 1e-3); ratio asked: 1.5")


if __name__ == "__main__":
    main()
