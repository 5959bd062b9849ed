"""Count the queries of a log with Ray Data.

Workers read splits (parts of log files). One shuffle then brings together the forms of each query, which are its
different spellings. The driver has only the list of splits and the sums in memory, never the log.

The shuffle key is the partition number, a hash of the deduplication key. Everything that is counted or merged together
is therefore in one partition, regardless of how the log was divided into splits.
"""

from __future__ import annotations

import functools
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pyarrow as pa
import ray.data

from actors.data.rows import records, table_of
from ranking.collections.log_files import FileSplit, LogFile, splits_of
from ranking.collections.log_layout import LogLayout
from ranking.collections.log_rows import LogError, read_split
from ranking.languages import ENGLISH
from ranking.records import Query, Record
from ranking.selection.near_duplicates import (
    CountedQuery,
    QueryForm,
    count_distinct,
    deduplication_key,
    merge_near_duplicates,
)
from ranking.selection.query_text import normalise, shown
from ranking.selection.selection_settings import QuerySettings

_BYTES_PER_PARTITION = 8 * 2**20
_MAX_PARTITIONS = 1024
_MAX_BUFFERED_FORMS = 50_000


class FormRow(Record):
    """A row that a reader sends to a partition.

    Attributes:
        partition: The partition that the row belongs to.
        kind: "form" for a query form (one spelling of a query), "claim" for an id and the query that it names,
            "problem" for an error in a log file, "skipped" for rows without a query. Claims reveal ids that name more
            than one query.
        text: The form, the normalised text that the id names, the error message, or the reason for skipping rows.
        frequency: How often the log contains the form; for a problem the line number; for skipped rows their number; 0
            for a claim.
        query_id: Id of the form, if any, or of the claim; for a problem the path of the file.
    """

    partition: int
    kind: Literal["form", "claim", "problem", "skipped"]
    text: str
    frequency: int = 0
    query_id: str | None = None


class CountedRow(Record):
    """A distinct query of a partition, the message of an error in the log, or a number of skipped rows.

    Attributes:
        skipped: Why rows were skipped. None for queries and problems.
        rows: Number of skipped rows.
    """

    partition: int
    query: CountedQuery | None = None
    problem: str | None = None
    skipped: str | None = None
    rows: int = 0


def partitions_of(size: int) -> int:
    """Choose the number of partitions for a log of `size` bytes. Each partition must fit in a worker's memory."""
    return min(_MAX_PARTITIONS, 1 + size // _BYTES_PER_PARTITION)


def forms_of_files(
    files: Sequence[LogFile], layouts: Sequence[LogLayout], settings: QuerySettings, language: str = ENGLISH
) -> tuple[ray.data.Dataset, int]:
    """Read the query forms in the files of a log on workers.

    Args:
        files: The files of the log.
        layouts: The layout of each file.
        settings: Settings of the queries.
        language: Language of the queries.

    Returns:
        A dataset of `FormRow`, and the number of partitions.
    """
    partitions = partitions_of(sum(file.text_size for file in files))
    splits = [pa.Table.from_pylist([asdict(split)]) for split in splits_of(files, layouts)]
    read = SplitReader(settings, partitions, language)
    return ray.data.from_arrow(splits).map_batches(read, batch_format="pyarrow", batch_size=None), partitions


def forms_of_queries(queries: Sequence[Query], language: str = ENGLISH) -> tuple[ray.data.Dataset, int]:
    """Convert a collection's query log, which is in the driver's memory, to query forms.

    Returns:
        A dataset of `FormRow`, and the number of partitions.
    """
    table = table_of(queries, Query)
    partitions = partitions_of(table.nbytes)

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        forms = (QueryForm(shown(query.text), query.frequency, query.query_id) for query in records(batch, Query))
        yield from form_rows(forms, partitions, language)

    return ray.data.from_arrow([table]).map_batches(read, batch_format="pyarrow", batch_size=None), partitions


def count(forms: ray.data.Dataset, partitions: int, language: str = ENGLISH) -> ray.data.Dataset:
    """Count query forms and merge near-duplicates, one partition at a time. Returns a dataset of `CountedRow`."""
    count_one = functools.partial(count_partition, language=language)
    return forms.groupby("partition", num_partitions=partitions).map_groups(count_one, batch_format="pyarrow")


class SplitReader:
    """Ray Data UDF that reads splits into `FormRow` tables. Sums the frequencies of equal forms before the shuffle."""

    def __init__(self, settings: QuerySettings, partitions: int, language: str = ENGLISH) -> None:
        self.settings = settings
        self.partitions = partitions
        self.language = language

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read the splits of a batch. A malformed file yields a "problem" row instead of an exception."""
        for row in batch.to_pylist():
            skipped: Counter[str] = Counter()
            try:
                forms = read_split(FileSplit(**row), self.settings, skipped)
                yield from form_rows(forms, self.partitions, self.language)
                yield skipped_rows(skipped)
            except LogError as error:
                problem = FormRow(
                    partition=0, kind="problem", text=str(error), frequency=error.line, query_id=error.path
                )
                yield table_of([problem], FormRow)


def form_rows(forms: Iterable[QueryForm], partitions: int, language: str = ENGLISH) -> Iterator[pa.Table]:
    """Convert query forms to `FormRow` tables of limited size. Yields at least one table."""
    counts: dict[tuple[str, str | None], int] = defaultdict(int)
    for form in forms:
        counts[form.text, form.query_id] += form.frequency
        if len(counts) == _MAX_BUFFERED_FORMS:
            yield _table(counts, partitions, language)
            counts.clear()
    yield _table(counts, partitions, language)


def skipped_rows(skipped: Counter[str]) -> pa.Table:
    """Convert numbers of skipped rows to a `FormRow` table."""
    rows = [FormRow(partition=0, kind="skipped", text=text, frequency=number) for text, number in skipped.items()]
    return table_of(rows, FormRow)


def count_partition(batch: pa.Table, language: str = ENGLISH) -> pa.Table:
    """Count the forms of one partition, merge near-duplicates, and report ids that name more than one query.

    Returns:
        A table of `CountedRow`. It reports only the first error in a file and the first id that names several queries.
    """
    rows = records(batch, FormRow)
    partition = rows[0].partition
    forms = [QueryForm(row.text, row.frequency, row.query_id) for row in rows if row.kind == "form"]
    queries = merge_near_duplicates(count_distinct(forms), language)
    counted = [CountedRow(partition=partition, query=query) for query in queries]
    problems = [(row.query_id or "", row.frequency, row.text) for row in rows if row.kind == "problem"]
    counted += [CountedRow(partition=partition, problem=text) for _, _, text in sorted(problems)[:1]]
    counted += [CountedRow(partition=partition, problem=text) for text in _ambiguous_ids(rows)[:1]]
    skipped: Counter[str] = Counter()
    for row in rows:
        if row.kind == "skipped":
            skipped[row.text] += row.frequency
    counted += [CountedRow(partition=partition, skipped=text, rows=number) for text, number in skipped.items()]
    return table_of(counted, CountedRow)


def _ambiguous_ids(rows: Sequence[FormRow]) -> list[str]:
    """Return an error message for each id that names more than one query."""
    texts_by_id: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.kind == "claim":
            texts_by_id[str(row.query_id)].add(row.text)
    return [
        f"queries.log: id {query_id!r} is used for {len(texts)} different queries, "
        f"such as {' and '.join(map(repr, sorted(texts)[:2]))}"
        for query_id, texts in sorted(texts_by_id.items())
        if len(texts) > 1
    ]


def _table(counts: dict[tuple[str, str | None], int], partitions: int, language: str) -> pa.Table:
    """Convert counted forms to a `FormRow` table: a "form" row for each, and a "claim" row for each that has an id."""
    rows: list[dict[str, Any]] = []
    for (text, query_id), frequency in counts.items():
        normal = normalise(text)
        partition = _partition_of(deduplication_key(normal, language), partitions)
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
    """Hash a key to a partition."""
    return zlib.crc32(key.encode("utf-8")) % partitions
