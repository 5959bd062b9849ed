"""Rejection records: queries that a stage could not process."""

from __future__ import annotations

from ranking.records.record import Record


class Rejection(Record):
    """A query that a stage could not process: a row of rejected/. No query is dropped silently.

    Attributes:
        raw: The text that the reason refers to: the teacher's answer, or the text of a query that was not selected.
    """

    query_id: str
    stage: str
    reason: str
    attempts: int = 1
    raw: str | None = None
