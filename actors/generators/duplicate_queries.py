"""Find near-duplicates among all generated queries with one shuffle, and mark all but one of each group."""

from __future__ import annotations

import functools
import zlib
from collections import Counter

import pyarrow as pa
import ray.data

from actors.data.rows import Outcome, records, table_of
from actors.query_log.counting import partitions_of
from ranking.generation.query_filter import flatten, key_of, mark_duplicates
from ranking.languages import ENGLISH
from ranking.records import DocumentQueries, GeneratedQuery
from ranking.storage.folder import Folder

_BYTES_PER_QUERY = 256


class PartitionedQuery(GeneratedQuery):
    """A generated query, with the partition that contains all its near-duplicates."""

    partition: int


def count_written(folder: Folder) -> int:
    """Count the queries in a folder with rows of DocumentQueries, usable or not."""
    return sum(len(queries) for table in folder.read_tables(["queries"]) for queries in table["queries"].to_pylist())


def count_statuses(folder: Folder) -> dict[str, int]:
    """Count the generated queries in a folder by status."""
    counts: Counter[str] = Counter()
    for table in folder.read_tables(["status"]):
        counts.update(table["status"].to_pylist())
    return dict(counts)


def without_duplicates(
    written: ray.data.Dataset, queries: int, fraction: float, seed: int, language: str = ENGLISH
) -> ray.data.Dataset:
    """Split queries by document, and mark near-duplicates, one partition at a time.

    Args:
        written: Rows of DocumentQueries.
        queries: Total number of their queries.
        fraction: Expected share of the documents with test queries.
        seed: `queries.seed` of the run.
        language: Language of the queries.

    Returns:
        Rows of Outcome[GeneratedQuery], one per query.
    """
    partitions = partitions_of(queries * _BYTES_PER_QUERY)
    spread = functools.partial(
        partition_queries, partitions=partitions, fraction=fraction, seed=seed, language=language
    )
    mark = functools.partial(mark_partition, seed=seed, language=language)
    rows = written.map_batches(spread, batch_format="pyarrow", batch_size=None)
    return rows.groupby("partition", num_partitions=partitions).map_groups(mark, batch_format="pyarrow")


def partition_queries(batch: pa.Table, partitions: int, fraction: float, seed: int, language: str) -> pa.Table:
    """Map rows of DocumentQueries to rows of PartitionedQuery, one per query."""
    rows = [
        PartitionedQuery(**query.model_dump(), partition=partition_of(key_of(query, language), partitions))
        for query in flatten(records(batch, DocumentQueries), fraction, seed)
    ]
    return table_of(rows, PartitionedQuery)


def mark_partition(batch: pa.Table, seed: int, language: str) -> pa.Table:
    """Mark the near-duplicates of one partition. Maps rows of PartitionedQuery to rows of Outcome[GeneratedQuery]."""
    queries = sorted(records(batch.drop_columns(["partition"]), GeneratedQuery), key=lambda query: query.query_id)
    marked = mark_duplicates(queries, seed, language)
    return table_of([Outcome(query_id=query.query_id, row=query) for query in marked], Outcome[GeneratedQuery])


def partition_of(key: str, partitions: int) -> int:
    """Hash a deduplication key to a partition."""
    return zlib.crc32(key.encode("utf-8")) % partitions
