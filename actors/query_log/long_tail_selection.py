"""Choosing among the counted queries of a log on workers: what is selected goes to queries/, the rest to rejected/."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.rows import records, table_of
from actors.query_log.counting import CountedRow
from ranking.records import Record, Rejection, SelectedQuery
from ranking.runs.stages import REJECTED, Stage
from ranking.selection.long_tail import Exclusion, Selection, rejections
from ranking.selection.near_duplicates import CountedQuery
from ranking.storage.folder import Folder, part_name

SELECTED = "selected"
_ROWS_PER_PART = 1024
R = TypeVar("R", bound=BaseModel)


class Sums(Record):
    """Of a block of counted queries: searches, distinct queries, and the first thing that is wrong with the log."""

    searches: int
    queries: int
    problem: str | None


class Count(Record):
    """How many rows a worker wrote of a kind: "selected", or the kind of reason."""

    kind: str
    rows: int


class Lot(Record):
    """A query's lot for the sample."""

    lot: str


def sums_of(counted: ray.data.Dataset) -> Sums:
    """Add up a counted log."""
    blocks = _collected(counted.map_batches(_sums, batch_format="pyarrow", batch_size=None), Sums)
    problems = [block.problem for block in blocks if block.problem is not None]
    searches, queries = sum(block.searches for block in blocks), sum(block.queries for block in blocks)
    return Sums(searches=searches, queries=queries, problem=min(problems, default=None))


def last_lot(counted: ray.data.Dataset, selection: Selection, sample: int) -> str | None:
    """The highest lot of a sample of so many selectable queries, drawn over all blocks; None where there are no more."""

    def draw(batch: pa.Table) -> pa.Table:
        selectable = (query for query in _queries(batch) if isinstance(selection.judge(query), SelectedQuery))
        lots = heapq.nsmallest(sample + 1, map(selection.lot_of, selectable))
        return table_of([Lot(lot=lot) for lot in lots], Lot)

    lots: list[str] = []
    for batch in counted.map_batches(draw, batch_format="pyarrow", batch_size=None).iter_batches(
        batch_size=None, batch_format="pyarrow"
    ):
        lots = heapq.nsmallest(sample + 1, [*lots, *batch["lot"].to_pylist()])
    return lots[sample - 1] if len(lots) > sample else None


def write_selection(counted: ray.data.Dataset, selection: Selection, stage: Stage) -> Counter[str]:
    """Judge every query, write it where it belongs, and count what was written by kind."""
    written = counted.map_batches(SelectionSink(selection, stage), batch_format="pyarrow", batch_size=None)
    counts: Counter[str] = Counter()
    for count in _collected(written, Count):
        counts[count.kind] += count.rows
    return counts


class SelectionSink:
    """Writes the queries of counted blocks; a partition's parts have the same names and rows whenever it is written."""

    def __init__(self, selection: Selection, stage: Stage) -> None:
        self.selection = selection
        self.stage = stage

    def __call__(self, batch: pa.Table) -> pa.Table:
        counts: Counter[str] = Counter()
        for partition in sorted(set(batch["partition"].to_pylist())):
            queries = [
                row.query for row in records(batch, CountedRow) if row.query is not None and row.partition == partition
            ]
            counts += self._write(queries)
        return table_of([Count(kind=kind, rows=rows) for kind, rows in counts.items()], Count)

    def _write(self, queries: Sequence[CountedQuery]) -> Counter[str]:
        selected: list[SelectedQuery] = []
        left: list[Rejection] = []
        counts: Counter[str] = Counter()
        for query in queries:
            verdict = self.selection.judge(query)
            if isinstance(verdict, SelectedQuery):
                selected.append(verdict)
            for kind, rejection in rejections(query, verdict if isinstance(verdict, Exclusion) else None):
                counts[kind] += 1
                left.append(rejection)
        counts[SELECTED] = len(selected)
        _write_parts(self.stage.folder, "", selected)
        _write_parts(self.stage.run / REJECTED, self.stage.rejected_prefix, left)
        return counts


def _write_parts(folder: Folder, prefix: str, rows: Sequence[SelectedQuery | Rejection]) -> None:
    for start in range(0, len(rows), _ROWS_PER_PART):
        part = rows[start : start + _ROWS_PER_PART]
        folder.write_rows(prefix + part_name(row.query_id for row in part), part)


def _sums(batch: pa.Table) -> pa.Table:
    rows = records(batch, CountedRow)
    queries = [row.query for row in rows if row.query is not None]
    distinct = sum(1 + len(query.duplicates) for query in queries)
    problems = [row.problem for row in rows if row.problem is not None]
    sums = Sums(
        searches=sum(query.frequency for query in queries), queries=distinct, problem=min(problems, default=None)
    )
    return table_of([sums], Sums)


def _queries(batch: pa.Table) -> Iterator[CountedQuery]:
    return (row.query for row in records(batch, CountedRow) if row.query is not None)


def _collected(data: ray.data.Dataset, model: type[R]) -> list[R]:
    """Bring small rows, a few for each block, to the driver."""
    return [
        row for batch in data.iter_batches(batch_size=None, batch_format="pyarrow") for row in records(batch, model)
    ]
