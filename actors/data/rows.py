"""Convert records to the Arrow tables of Ray Data and back, and define a stage's outcome: a row or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from ranking.records import Label, PreRankedList, Record, Rejection, SplitName, TokenCounts
from ranking.storage.parquet_files import schema_of

R = TypeVar("R", bound=BaseModel)


class Outcome(Record, Generic[R]):
    """The result of a stage for one query: exactly one of a row and a rejection.

    Outcomes travel between actors as typed Arrow columns. `table_of(outcomes, Outcome[Label])` has a struct column
    `row` with the fields of Label, which is null for a rejected query.

    Attributes:
        query_id: Id of the query.
        split: Origin of the query.
        row: The record. None if the query is rejected.
        rejection: Why the query is rejected. None if there is a row.
        tokens: Tokens spent on the query since the stage was started or resumed. Cached answers do not count.
    """

    query_id: str
    split: SplitName = "log"
    row: R | None = None
    rejection: Rejection | None = None
    tokens: TokenCounts = TokenCounts()


def rejection_outcome(row: PreRankedList, reason: str, raw: str | None = None) -> Outcome[Label]:
    """Make the outcome of a candidate list that the teacher cannot label.

    Args:
        row: The candidate list.
        reason: Why it cannot be labelled.
        raw: The teacher's answer, if any.
    """
    rejection = Rejection(query_id=row.query_id, stage="labels", reason=reason, raw=raw)
    return Outcome(query_id=row.query_id, split=row.split, rejection=rejection)


def records(batch: pa.Table, model: type[R]) -> list[R]:
    """Convert the rows of a batch to records."""
    return [model.model_validate(row) for row in batch.to_pylist()]


def table_of(rows: Sequence[BaseModel], model: type[BaseModel]) -> pa.Table:
    """Convert records to an Arrow table with the schema of their class. No records give a table without rows."""
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(model))
