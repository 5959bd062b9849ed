"""Counting a query log with Ray Data: workers read its splits, one shuffle brings the forms of a query together.

The driver holds the list of the splits and sums, never the log. The shuffle's key is the partition: a hash of
the fold key, so that all that is counted or duplicates together meets in one place, however the log was divided.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pyarrow as pa
import ray.data

from actors.data.rows import records, table_of
from ranking.collections.log_files import FileSplit, LogFile, splits_of
from ranking.collections.log_rows import LogError, read_split
from ranking.records import Query, Record
from ranking.selection.near_duplicates import CountedQuery, QueryForm, deduplication_key, distinct, fold
from ranking.selection.query_text import normalise, shown
from ranking.selection.settings import LogColumns

_BYTES_PER_PARTITION = 8 * 2**20
_MOST_PARTITIONS = 1024
_FORMS_AT_ONCE = 50_000


class FormRow(Record):
    """What a reader sends to a partition.

    form: a form and how often it was read; claim: an id and the normalised text that it stands for; problem:
    where a file is malformed, with what is wrong as text, the file as query_id and the line as frequency.
    """

    partition: int
    kind: Literal["form", "claim", "problem"]
    text: str
    frequency: int = 0
    query_id: str | None = None


class CountedRow(Record):
    """A distinct query of a partition, or a problem of the log, never both."""

    partition: int
    query: CountedQuery | None = None
    problem: str | None = None


def partitions_of(size: int) -> int:
    """How many partitions a log of so many bytes is counted in; one worker holds one of them at a time."""
    return min(_MOST_PARTITIONS, 1 + size // _BYTES_PER_PARTITION)


def forms_of_files(files: Sequence[LogFile], columns: LogColumns) -> tuple[ray.data.Dataset, int]:
    """Have workers read the files of a log; returns the rows for the partitions, and how many partitions there are."""
    partitions = partitions_of(sum(file.size for file in files))
    splits = [pa.Table.from_pylist([asdict(split)]) for split in splits_of(files)]
    read = SplitReader(columns, partitions)
    return ray.data.from_arrow(splits).map_batches(read, batch_format="pyarrow", batch_size=None), partitions


def forms_of_queries(queries: Sequence[Query]) -> tuple[ray.data.Dataset, int]:
    """Bring the log of a collection, which the driver holds anyway, into the same form."""
    table = table_of(queries, Query)
    partitions = partitions_of(table.nbytes)

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        forms = (QueryForm(shown(query.text), query.frequency, query.query_id) for query in records(batch, Query))
        yield from form_rows(forms, partitions)

    return ray.data.from_arrow([table]).map_batches(read, batch_format="pyarrow", batch_size=None), partitions


def count(forms: ray.data.Dataset, partitions: int) -> ray.data.Dataset:
    """Count and fold forms, a partition at a time; gives CountedRows."""
    return forms.groupby("partition", num_partitions=partitions).map_groups(count_partition, batch_format="pyarrow")


class SplitReader:
    """Reads splits into the rows of partitions, equal forms counted together as far as memory allows."""

    def __init__(self, columns: LogColumns, partitions: int) -> None:
        self.columns = columns
        self.partitions = partitions

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for row in batch.to_pylist():
            try:
                yield from form_rows(read_split(FileSplit(**row), self.columns), self.partitions)
            except LogError as error:
                problem = FormRow(
                    partition=0, kind="problem", text=str(error), frequency=error.line, query_id=error.path
                )
                yield table_of([problem], FormRow)


def form_rows(forms: Iterable[QueryForm], partitions: int) -> Iterator[pa.Table]:
    """Turn forms into the rows of partitions, at least one table, in tables of limited size."""
    counts: dict[tuple[str, str | None], int] = defaultdict(int)
    for form in forms:
        counts[form.text, form.query_id] += form.frequency
        if len(counts) == _FORMS_AT_ONCE:
            yield _table(counts, partitions)
            counts.clear()
    yield _table(counts, partitions)


def count_partition(batch: pa.Table) -> pa.Table:
    """Count and fold the forms of one partition, and find the ids that stand for two queries."""
    rows = records(batch, FormRow)
    partition = rows[0].partition
    forms = [QueryForm(row.text, row.frequency, row.query_id) for row in rows if row.kind == "form"]
    counted = [CountedRow(partition=partition, query=query) for query in fold(distinct(forms))]
    problems = [(row.query_id or "", row.frequency, row.text) for row in rows if row.kind == "problem"]
    counted += [CountedRow(partition=partition, problem=text) for _, _, text in sorted(problems)[:1]]
    counted += [CountedRow(partition=partition, problem=text) for text in _contested(rows)[:1]]
    return table_of(counted, CountedRow)


def _contested(rows: Sequence[FormRow]) -> list[str]:
    claimed: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.kind == "claim":
            claimed[str(row.query_id)].add(row.text)
    return [
        f"queries.log: id {query_id!r} stands for {len(texts)} queries, such as {' and '.join(map(repr, sorted(texts)[:2]))}"
        for query_id, texts in sorted(claimed.items())
        if len(texts) > 1
    ]


def _table(counts: dict[tuple[str, str | None], int], partitions: int) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for (text, query_id), frequency in counts.items():
        normal = normalise(text)
        partition = _partition_of(deduplication_key(normal), partitions)
        rows.append(
            {"partition": partition, "kind": "form", "text": text, "frequency": frequency, "query_id": query_id}
        )
        if query_id is not None:
            rows.append(
                {
                    "partition": _partition_of(query_id, partitions),
                    "kind": "claim",
                    "text": normal,
                    "frequency": 0,
                    "query_id": query_id,
                }
            )
    return pa.Table.from_pylist(rows, schema=table_of([], FormRow).schema)


def _partition_of(key: str, partitions: int) -> int:
    return zlib.crc32(key.encode("utf-8")) % partitions
