"""Decide which of the written queries are used: near-duplicates are dropped, and test queries split off by document.

All functions are pure. Their results do not depend on the order of the input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ranking.generation.generated_ids import split_key
from ranking.languages import ENGLISH
from ranking.records import DocumentQueries, GeneratedQuery, SplitName
from ranking.selection.near_duplicates import deduplication_key
from ranking.selection.query_text import normalise

_SPLIT = "test"


def is_held_out(key: str, fraction: float, seed: int) -> bool:
    """Return whether the queries of a document are test queries.

    Args:
        key: Key of the document.
        fraction: Expected share of the documents with test queries, 0 to 1.
        seed: `queries.seed` of the run.
    """
    digest = hashlib.sha256(f"{_SPLIT} {seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def flatten(rows: Iterable[DocumentQueries], fraction: float, seed: int) -> list[GeneratedQuery]:
    """List the queries of documents, each with its document, split and generator.

    Args:
        rows: Documents with their queries.
        fraction: Expected share of the documents with test queries.
        seed: `queries.seed` of the run.
    """
    return [
        GeneratedQuery(
            query_id=query.query_id,
            text=query.text,
            doc_id=row.doc_id,
            style=query.style,
            status=query.status,
            split="test" if is_held_out(row.query_id, fraction, seed) else "log",
            rank=query.rank,
            generator=row.generator,
        )
        for row in rows
        for query in row.queries
    ]


def key_of(query: GeneratedQuery, language: str = ENGLISH) -> str:
    """Return the deduplication key of a query. Near-duplicates have the same key."""
    return deduplication_key(normalise(query.text), language)


def mark_duplicates(queries: Sequence[GeneratedQuery], seed: int, language: str = ENGLISH) -> list[GeneratedQuery]:
    """Give all but one of each group of near-duplicates the status `duplicate`. Unusable queries do not change.

    A test query is kept rather than a training query, so no training query is a near-duplicate of a test query. Among
    several, a hash of the id decides.

    Args:
        queries: Queries, with all near-duplicates of each of them.
        seed: `queries.seed` of the run.
        language: Language of the queries.
    """
    kept: dict[str, GeneratedQuery] = {}
    for query in queries:
        if query.status == "ok":
            key = key_of(query, language)
            kept[key] = min(kept.get(key, query), query, key=lambda one: _precedence(one, seed))
    return [
        query
        if query.status != "ok" or kept[key_of(query, language)].query_id == query.query_id
        else query.model_copy(update={"status": "duplicate"})
        for query in queries
    ]


def _precedence(query: GeneratedQuery, seed: int) -> tuple[bool, str, str]:
    test: SplitName = "test"
    digest = hashlib.sha256(f"{seed}\n{query.query_id}".encode()).hexdigest()
    return query.split != test, digest, split_key(query.query_id)
