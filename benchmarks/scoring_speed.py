"""Compare re-ranking speed: our scorer and CrossEncoder.predict of sentence-transformers, with the same saved student.

    python -m benchmarks.scoring_speed COLLECTION RUN [--model FOLDER] [--queries N] [--rounds N] [--max-length N]

COLLECTION is a BEIR folder. RUN is a TREC run over it. Its documents are scored query by query, as in serving, and all
at once. --model is a saved student; the default is `minilm` with a random head. Both sides score the same pairs in fp32
on all cores and take turns in one process. The table shows the median of the rounds in documents per second.
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
from students.student_settings import RraBertSettings

Pairs = list[tuple[str, str]]
OURS, THEIRS = "ours", "sentence-transformers"


def pairs_of(collection: Path, run: Path, queries: int) -> list[Pairs]:
    """Return the pairs of the first queries of a run, one list per query, best document first."""
    texts = {document.doc_id: document.content for document in beir.read_documents(collection / "corpus.jsonl")}
    query_texts = {query.query_id: query.text for query in beir.read_queries(collection / "queries.jsonl")}
    ranked = list(read_trec(run).items())[:queries]
    return [[(query_texts[query_id], texts[doc_id]) for doc_id in order_of(scores)] for query_id, scores in ranked]


def save_untrained_student(folder: Path, max_length: int) -> Path:
    """Save a student with the layers of `minilm` and a random head, and return its folder."""
    settings = RraBertSettings(base="minilm", max_length=max_length)
    torch.manual_seed(13)
    base = model_path(settings.base)
    export.save(
        kinds.build(settings, base), kinds.tokenizer_of(settings, base), settings, folder, [("a query", "a document")]
    )
    return folder


def sides_of(model: Path, max_length: int) -> dict[str, Callable[[Pairs], list[float]]]:
    """Return the scoring function of each side."""
    from sentence_transformers import CrossEncoder

    scorer = Scorer(model, "fp32")
    encoder = CrossEncoder(str(model), trust_remote_code=False, device="cpu", max_length=max_length)
    raw = torch.nn.Identity()
    return {
        OURS: scorer.score,
        THEIRS: lambda pairs: encoder.predict(pairs, activation_fn=raw, show_progress_bar=False).tolist(),
    }


def main() -> None:
    """Measure both sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, help="folder of a saved student")
    parser.add_argument("--queries", type=int, default=43, help="maximum number of queries")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=256, help="maximum tokens per pair")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    lists = pairs_of(arguments.collection, arguments.run, arguments.queries)
    all_pairs = list(itertools.chain(*lists))
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or save_untrained_student(Path(folder) / "model", arguments.max_length)
        sides = sides_of(model, arguments.max_length)
        scores = {name: score(all_pairs) for name, score in sides.items()}  # also warms up both sides
        difference = max(abs(one - other) for one, other in zip(scores[OURS], scores[THEIRS], strict=True))
        table = Table(
            "documents/s",
            OURS,
            THEIRS,
            "ratio",
            title=f"{len(lists)} queries, {len(all_pairs):,} pairs, {arguments.rounds} rounds",
        )
        for title, batches in (("query by query", lists), ("all at once", [all_pairs])):
            rates: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(arguments.rounds):
                for name, score in sides.items():
                    start = time.perf_counter()
                    for pairs in batches:
                        score(pairs)
                    rates[name].append(len(all_pairs) / (time.perf_counter() - start))
            ours, theirs = (statistics.median(rates[name]) for name in (OURS, THEIRS))
            ratios = [one / other for one, other in zip(rates[OURS], rates[THEIRS], strict=True)]
            table.add_row(
                title,
                f"{ours:.0f}",
                f"{theirs:.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            )
    Console().print(table)
    print(f"largest difference of a score: {difference:.1e} (target: at most 1e-3); target ratio: at least 1.5")


if __name__ == "__main__":
    main()
