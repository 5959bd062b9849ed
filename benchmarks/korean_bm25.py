"""Compare BM25 on Korean questions with and without a morphological analyzer.

    python -m benchmarks.korean_bm25

Needs the extra `korean`. Prints nDCG@10 and Recall@10 of the languages `english` (the default), `none` and `korean`,
and of overlapping character bigrams of Hangul, like those of Chinese characters; then the difference of `korean` to
each other system with a paired randomisation test on both measures, without correction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s
from rich.console import Console
from rich.table import Table

from actors.retrieval.bm25_tokens import tokenize
from ranking import unsegmented
from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.evaluation.measures import overall, per_query
from ranking.evaluation.significance import Comparison, compare
from ranking.settings import Bm25Settings

COLLECTION = Path(__file__).parent / "data" / "korean"
MEASURES = ["nDCG@10", "R@10"]
DEPTH = 50
_HANGUL = re.compile("[\uac00-\ud7a3]+")

Tokenizer = Callable[[Sequence[str]], Any]


def bigrams(texts: Sequence[str]) -> Any:
    """Tokenize texts into the character bigrams of each run of Hangul, and other words as they are."""
    return tokenize(
        [_HANGUL.sub(lambda run: f" {' '.join(unsegmented.pairs(run[0]))} ", text) for text in texts], "none"
    )


SYSTEMS: dict[str, Tokenizer] = {
    "english": lambda texts: tokenize(texts, "english"),
    "none": lambda texts: tokenize(texts, "none"),
    "bigrams": bigrams,
    "korean": lambda texts: tokenize(texts, "korean"),
}


def ranked(collection: Collection, tokens: Tokenizer) -> dict[str, dict[str, float]]:
    """Rank the documents of a collection for its test queries. Returns {query_id: {doc_id: score}}."""
    settings = Bm25Settings()
    index = bm25s.BM25(method="lucene", k1=settings.k1, b=settings.b)
    index.index(tokens([document.content for document in collection.documents]), show_progress=False)
    rows, scores = index.retrieve(tokens([query.text for query in collection.test]), k=DEPTH, show_progress=False)
    ids = [document.doc_id for document in collection.documents]
    return {
        query.query_id: {ids[row]: float(score) for row, score in zip(rows[i], scores[i], strict=True) if score > 0}
        for i, query in enumerate(collection.test)
    }


def _cell(test: Comparison) -> str:
    low, high = test.interval
    return f"{test.delta:+.3f} ({low:+.3f} to {high:+.3f}), {test.p:.4f}"


def main() -> None:
    """Print both tables."""
    collection = beir.read(COLLECTION, "test")
    values = {
        name: per_query(collection.qrels, ranked(collection, tokens), MEASURES) for name, tokens in SYSTEMS.items()
    }
    table = Table("BM25 terms", *MEASURES)
    for name, measured in values.items():
        table.add_row(name, *(f"{overall(measure, measured[measure]):.3f}" for measure in MEASURES))
    differences = Table("korean minus", *(f"{measure} (95%), p" for measure in MEASURES))
    for name in [name for name in values if name != "korean"]:
        tests = [compare(values["korean"][m], values[name][m], 10_000, 13) for m in MEASURES]
        differences.add_row(name, *(_cell(t) for t in tests))
    Console().print(f"{len(collection.documents)} texts, {len(collection.test)} questions", table, differences)


if __name__ == "__main__":
    main()
