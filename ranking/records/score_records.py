"""Score records: a student's scores of the candidate lists that another student is trained on."""

from __future__ import annotations

from ranking.records.record import Record


class ScoredList(Record):
    """A student's scores of one query's labelled candidates: a row of scores/<student>/.

    Attributes:
        doc_ids: Documents that the teacher was shown, in the label's order.
        scores: Raw score of each document.
    """

    query_id: str
    doc_ids: list[str]
    scores: list[float]
