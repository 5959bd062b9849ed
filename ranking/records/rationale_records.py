"""Rationales: explanations of labels."""

from __future__ import annotations

from typing import Literal

from ranking.records.label_records import Usage
from ranking.records.record import Record

RationaleStatus = Literal[
    "ok", "empty", "truncated", "refused", "too_long", "copied", "contradicts", "unmatched", "failed"
]


class Rationale(Record):
    """An explanation why a candidate is or is not relevant to a query. Students learn only from status `ok`.

    Attributes:
        relevant: The label that the writer was given.
        text: The writer's unmodified output. With status `failed`, the engine's error.
    """

    doc_id: str
    relevant: bool
    status: RationaleStatus
    text: str


class RationaleList(Record):
    """The rationales of one query's list: a row of rationales/.

    Attributes:
        writer: Name of a model, or `extractive`.
        prompt: Hash of the prompt's text.
    """

    query_id: str
    rationales: list[Rationale]
    writer: str
    prompt: str | None = None
    usage: Usage
