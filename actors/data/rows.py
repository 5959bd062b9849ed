"""Records in Ray Data: typed rows as Arrow tables, and outcomes that are a row or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from ranking.records import Label, PreRankedList, Record, Rejection, SplitName, TokenCounts
from ranking.storage.parquet_files import schema_of

R = TypeVar("R", bound=BaseModel)


class Outcome(Record, Generic[R]):
    """The result of a stage for one query: either a row or a rejection, never both or neither.

    Outcomes travel between actors as typed Arrow columns. `table_of(outcomes, Outcome[Label])` has a struct column
    `row` with the fields of Label, which is null for a rejected query.

    Attributes:
        query_id: Id of the query.
        split: Origin of the query.
        row: The record.
        rejection: Why there is no row.
        tokens: Tokens spent on the query in this session. Cached answers do not count.
    """

    query_id: str
    split: SplitName = "log"
    row: R | None = None
    rejection: Rejection | None = None
    tokens: TokenCounts = TokenCounts()


def rejected(row: PreRankedList, reason: str, raw: str | None = None) -> Outcome[Label]:
    """Reject a list that the teacher cannot label.

    Args:
        row: The list.
        reason: Why it cannot be labelled.
        raw: The teacher's answer, if any.
    """
    rejection = Rejection(query_id=row.query_id, stage="labels", reason=reason, raw=raw)
    return Outcome(query_id=row.query_id, split=row.split, rejection=rejection)


def records(batch: pa.Table, model: type[R]) -> list[R]:
    """Convert the rows of a batch to records."""
    return [model.model_validate(row) for row in batch.to_pylist()]


def table_of(rows: Sequence[BaseModel], model: type[BaseModel]) -> pa.Table:
    """Convert records to a batch with the schema of their class, also for an empty sequence."""
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(model))
