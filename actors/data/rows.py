"""Records in Ray Data: typed rows as Arrow tables, outcomes as a row or a rejection."""

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
"""Where a query comes from: the log, to be learned from, or the judged test queries."""


class CandidateList(Record):
    """A query and its candidates, best first: a row of candidates/."""

    query_id: str
    text: str
    candidates: list[Candidate]


class NamedList(Record):
    """One first stage's candidates, best first."""

    name: str
    candidates: list[Candidate]


class QueryCandidates(Record):
    """A test query and what every first stage finds for it: a row of test/candidates/."""

    query_id: str
    text: str
    lists: list[NamedList]

    def of(self, name: str) -> list[Candidate]:
        """The candidates of a first stage; raises StopIteration where there is none of that name."""
        return next(found.candidates for found in self.lists if found.name == name)

    def fused(self) -> CandidateList:
        """The fused first stage's list."""
        return CandidateList(query_id=self.query_id, text=self.text, candidates=self.of(FUSED))

    def union(self, names: Sequence[str]) -> list[Candidate]:
        """Every candidate of some first stages, once."""
        return list({candidate.doc_id: candidate for name in names for candidate in self.of(name)}.values())


class PreRankedCandidate(Record):
    """A candidate that the pre-ranker picked. of_head: whether it is of its best, not of its worst."""

    candidate: Candidate
    pre_rank: int
    of_head: bool


class PreRankedList(Record):
    """A query and what the teacher is shown of its candidates."""

    query_id: str
    split: SplitName = "log"
    text: str
    picked: list[PreRankedCandidate]

    def as_tuples(self) -> list[tuple[Candidate, int, bool]]:
        """The picked candidates as `ranking.labels.targets` takes them."""
        return [(picked.candidate, picked.pre_rank, picked.of_head) for picked in self.picked]


class Outcome(Record):
    """What came of a query in a stage: a row (as JSON) or a rejection, never both, never neither.

    tokens: that were spent on it just now, not those of answers that were there already.
    """

    query_id: str
    split: SplitName = "log"
    row: str | None = None
    rejection: Rejection | None = None
    tokens: TokenCounts = TokenCounts()


def rejected(row: PreRankedList, reason: str, raw: str | None = None) -> Outcome:
    """A list that no teacher can label. raw: the teacher's answer, if any."""
    rejection = Rejection(query_id=row.query_id, stage="labels", reason=reason, raw=raw)
    return Outcome(query_id=row.query_id, split=row.split, rejection=rejection)


def records(batch: pa.Table, model: type[R]) -> list[R]:
    """Read a batch as records."""
    return [model.model_validate(row) for row in batch.to_pylist()]


def table_of(rows: Sequence[BaseModel], model: type[BaseModel]) -> pa.Table:
    """Write records as a batch, with the schema of their class even where there are none."""
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(model))
