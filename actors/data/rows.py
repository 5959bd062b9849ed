"""Records in Ray Data: typed rows as Arrow tables, and outcomes that are a row or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from ranking.records import Candidate, Record, Rejection, TokenCounts
from ranking.storage.folder import schema_of

R = TypeVar("R", bound=BaseModel)
FUSED = "fused"
"""Name of the fused first stage."""

SplitName = Literal["log", "test"]
"""Origin of a query: the query log, whose labels are training data, or the judged test queries."""


class CandidateList(Record):
    """A query and its candidates, best first: a row of candidates/."""

    query_id: str
    text: str
    candidates: list[Candidate]


class NamedList(Record):
    """The candidates of one first stage, best first."""

    name: str
    candidates: list[Candidate]


class QueryCandidates(Record):
    """A test query and the candidates of every first stage: a row of test/candidates/."""

    query_id: str
    text: str
    lists: list[NamedList]

    def of(self, name: str) -> list[Candidate]:
        """Return the candidates of a first stage. Raises StopIteration if no first stage has this name."""
        return next(stage.candidates for stage in self.lists if stage.name == name)

    def fused(self) -> CandidateList:
        """Return the list of the fused first stage."""
        return CandidateList(query_id=self.query_id, text=self.text, candidates=self.of(FUSED))

    def union(self, names: Sequence[str]) -> list[Candidate]:
        """Return the distinct candidates of several first stages."""
        return list({candidate.doc_id: candidate for name in names for candidate in self.of(name)}.values())


class PreRankedCandidate(Record):
    """A candidate that the pre-ranker selected for the teacher.

    Attributes:
        candidate: The candidate.
        pre_rank: Rank by the pre-ranker, 1 is best.
        of_head: Whether it is from the head of the pre-ranker's order. False for the tail.
    """

    candidate: Candidate
    pre_rank: int
    of_head: bool


class PreRankedList(Record):
    """A query and the candidates that the teacher labels.

    Attributes:
        query_id: Id of the query.
        split: Origin of the query.
        text: Text of the query.
        picked: Selected candidates, in the pre-ranker's order.
    """

    query_id: str
    split: SplitName = "log"
    text: str
    picked: list[PreRankedCandidate]

    def as_tuples(self) -> list[tuple[Candidate, int, bool]]:
        """Return the selected candidates as (candidate, pre_rank, of_head), the input of `ranking.labels.targets`."""
        return [(picked.candidate, picked.pre_rank, picked.of_head) for picked in self.picked]


class Outcome(Record):
    """The result of a stage for one query: either a row or a rejection, never both or neither.

    Attributes:
        query_id: Id of the query.
        split: Origin of the query.
        row: The row as JSON.
        rejection: Why there is no row.
        tokens: Tokens spent on the query in this session. Cached answers do not count.
    """

    query_id: str
    split: SplitName = "log"
    row: str | None = None
    rejection: Rejection | None = None
    tokens: TokenCounts = TokenCounts()


def rejected(row: PreRankedList, reason: str, raw: str | None = None) -> Outcome:
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
