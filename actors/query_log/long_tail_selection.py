"""Select long-tail queries from a counted log on workers. Write selected queries to queries/, others to rejected/."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.arrow_blocks import tables_in
from actors.data.rows import records, table_of
from actors.query_log.counting import CountedRow
from ranking.records import Record, Rejection, SelectedQuery
from ranking.runs.stages import REJECTED, Stage
from ranking.selection.long_tail import Exclusion, Selection, rejections
from ranking.selection.near_duplicates import CountedQuery
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name

SELECTED = "selected"
_ROWS_PER_PART = 1024
R = TypeVar("R", bound=BaseModel)


class Count(Record):
    """Number of rows of one kind.

    Attributes:
        kind: For rows that a worker wrote "selected" or one of `Exclusion.kind`; for skipped rows the reason.
    """

    kind: str
    rows: int


class Sums(Record):
    """Totals of a counted log or of one of its blocks.

    Attributes:
        searches: Sum of the frequencies.
        queries: Number of distinct queries before near-duplicates were merged.
        problem: The first error in the log, if any.
        skipped: Number of rows without a query, by reason.
    """

    searches: int
    queries: int
    problem: str | None
    skipped: list[Count]


def sums_of(counted: ray.data.Dataset) -> Sums:
    """Compute the totals of a counted log."""
    blocks = _collect(counted.map_batches(_sums, batch_format="pyarrow", batch_size=None), Sums)
    problems = [block.problem for block in blocks if block.problem is not None]
    searches, queries = sum(block.searches for block in blocks), sum(block.queries for block in blocks)
    skipped: Counter[str] = Counter()
    for count in (count for block in blocks for count in block.skipped):
        skipped[count.kind] += count.rows
    counts = [Count(kind=kind, rows=rows) for kind, rows in skipped.most_common()]
    return Sums(searches=searches, queries=queries, problem=min(problems, default=None), skipped=counts)


def max_sampling_key(counted: ray.data.Dataset, selection: Selection, sample: int) -> str | None:
    """Find the largest sampling key that belongs to the sample.

    Every query has a pseudorandom sampling key. The sample has the `sample` selectable queries with the smallest keys.

    Args:
        counted: The counted log.
        selection: Selection whose `max_sampling_key` is None.
        sample: Number of queries to sample.

    Returns:
        The key, or None if there are at most `sample` selectable queries, which are then all selected.
    """

    def smallest_keys(batch: pa.Table) -> pa.Table:
        selectable = (query for query in _queries(batch) if isinstance(selection.classify(query), SelectedQuery))
        keys = heapq.nsmallest(sample + 1, map(selection.sampling_key, selectable))
        return pa.table({"sampling_key": pa.array(keys, pa.string())})

    keys: list[str] = []
    for batch in tables_in(counted.map_batches(smallest_keys, batch_format="pyarrow", batch_size=None)):
        keys = heapq.nsmallest(sample + 1, [*keys, *batch["sampling_key"].to_pylist()])
    return keys[sample - 1] if len(keys) > sample else None


def write_selection(counted: ray.data.Dataset, selection: Selection, stage: Stage) -> Counter[str]:
    """Select or reject every query and write the result. Returns the number of written rows by kind."""
    written = counted.map_batches(SelectionSink(selection, stage), batch_format="pyarrow", batch_size=None)
    counts: Counter[str] = Counter()
    for count in _collect(written, Count):
        counts[count.kind] += count.rows
    return counts


class SelectionSink:
    """Ray Data UDF that selects or rejects the queries of a counted log, and writes them.

    Writing a partition again gives parts with the same names and rows, so tasks that Ray retries leave no duplicates.
    """

    def __init__(self, selection: Selection, stage: Stage) -> None:
        self.selection = selection
        self.stage = stage

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the queries of a batch and return a table of `Count`."""
        counts: Counter[str] = Counter()
        for partition in sorted(set(batch["partition"].to_pylist())):
            queries = [
                row.query for row in records(batch, CountedRow) if row.query is not None and row.partition == partition
            ]
            counts += self._write(queries)
        return table_of([Count(kind=kind, rows=rows) for kind, rows in counts.items()], Count)

    def _write(self, queries: Sequence[CountedQuery]) -> Counter[str]:
        """Write the queries of one partition and count them by kind."""
        selected: list[SelectedQuery] = []
        rejected: list[Rejection] = []
        counts: Counter[str] = Counter()
        for query in queries:
            result = self.selection.classify(query)
            if isinstance(result, SelectedQuery):
                selected.append(result)
            for kind, rejection in rejections(query, result if isinstance(result, Exclusion) else None):
                counts[kind] += 1
                rejected.append(rejection)
        counts[SELECTED] = len(selected)
        _write_parts(self.stage.folder, "", selected)
        _write_parts(self.stage.run / REJECTED, self.stage.rejected_prefix, rejected)
        return counts


def _write_parts(folder: Folder, prefix: str, rows: Sequence[SelectedQuery | Rejection]) -> None:
    """Write rows in parts of at most `_ROWS_PER_PART` rows."""
    for start in range(0, len(rows), _ROWS_PER_PART):
        part = rows[start : start + _ROWS_PER_PART]
        folder.write_rows(prefix + part_name(row.query_id for row in part), part)


def _sums(batch: pa.Table) -> pa.Table:
    """Compute the totals of one block."""
    rows = records(batch, CountedRow)
    queries = [row.query for row in rows if row.query is not None]
    distinct = sum(1 + len(query.duplicates) for query in queries)
    problems = [row.problem for row in rows if row.problem is not None]
    sums = Sums(
        searches=sum(query.frequency for query in queries),
        queries=distinct,
        problem=min(problems, default=None),
        skipped=[Count(kind=row.skipped, rows=row.rows) for row in rows if row.skipped is not None],
    )
    return table_of([sums], Sums)


def _queries(batch: pa.Table) -> Iterator[CountedQuery]:
    """Yield the queries of a block."""
    return (row.query for row in records(batch, CountedRow) if row.query is not None)


def _collect(data: ray.data.Dataset, model: type[R]) -> list[R]:
    """Collect the records of a dataset in the driver. Use only for datasets with a few rows per block."""
    return [row for batch in tables_in(data) for row in records(batch, model)]
