"""Collections whose queries were generated from their documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ranking.collections.beir import NO_QUERIES
from ranking.collections.collection import Collection, GeneratedQueries
from ranking.collections.splits import NO_QRELS
from ranking.records import GeneratedQuery, Query


def before_generation(collection: Collection) -> Collection:
    """Return a collection without the notes that generated queries make obsolete."""
    notes = [note for note in collection.notes if note not in (NO_QUERIES, NO_QRELS)]
    return replace(collection, notes=notes)


def with_generated_queries(
    collection: Collection, rows: Iterable[GeneratedQuery], fingerprint: str, round_trip_depth: int | None
) -> Collection:
    """Return a collection whose queries to label are generated ones.

    If the collection has judged test queries, they stay. Otherwise, the held-out generated queries become test queries.
    The document that a query was written for is its only relevant document, with grade 1.

    Args:
        collection: The collection. Its own query log and judgements of log queries are left out.
        rows: Generated queries. Only those with status `ok` are used.
        fingerprint: Fingerprint of the collection and the generated queries.
        round_trip_depth: Depth of the round-trip filter; None if there was none.
    """
    usable = sorted((row for row in rows if row.status == "ok"), key=lambda row: row.query_id)
    tested = [row for row in usable if row.split == "test"] if not collection.test else []
    labelled = [row for row in usable if row.split == "log"]
    generated = GeneratedQueries(
        generator=", ".join(sorted({row.generator for row in usable})),
        training=len(labelled),
        training_documents=len({row.doc_id for row in labelled}),
        test=len(tested),
        round_trip_depth=round_trip_depth,
    )
    return replace(
        collection,
        fingerprint=fingerprint,
        log=[_query(row) for row in labelled],
        test=collection.test or [_query(row) for row in tested],
        qrels=collection.qrels if collection.test else {row.query_id: {row.doc_id: 1} for row in tested},
        log_qrels={},
        halved=False,
        generated=generated,
    )


def _query(row: GeneratedQuery) -> Query:
    return Query(query_id=row.query_id, text=row.text)
