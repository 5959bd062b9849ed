"""Rationale records: explanations of why documents are labelled as relevant or not."""

from __future__ import annotations

from typing import Literal

from ranking.records.label_records import Usage
from ranking.records.record import Record

RationaleStatus = Literal[
    "ok", "empty", "truncated", "refused", "too_long", "copied", "contradicts", "unmatched", "failed"
]


class Rationale(Record):
    """An explanation of why a candidate is or is not relevant. Students learn only from rationales with status `ok`.

    Attributes:
        relevant: The candidate's label, which the rationale explains.
        text: Text of the rationale. For an LLM, its output without the thinking section and with collapsed white space,
            or the engine's error if the status is `failed`.
    """

    doc_id: str
    relevant: bool
    status: RationaleStatus
    text: str


class RationaleList(Record):
    """The rationales for one query's candidate list: a row of rationales/.

    Attributes:
        writer: Name of the model that wrote the rationales, `extractive` for sentences taken from the
            documents, or `thinking` for sentences of the teacher's thought.
        prompt: Hash of the prompt's text. None for `extractive`.
    """

    query_id: str
    rationales: list[Rationale]
    writer: str
    prompt: str | None = None
    usage: Usage
