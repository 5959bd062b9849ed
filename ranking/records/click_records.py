"""Click records: relevance of a query's documents, estimated from recorded clicks."""

from __future__ import annotations

from ranking.records.record import Record


class DocumentClicks(Record):
    """A document that was shown for a query.

    Attributes:
        relevance: Click rate that the document would have at position 1, estimated from all its impressions. Can exceed
            1 for a document with few impressions.
        shown: Number of impressions at positions whose propensity is known.
        clicks: Number of these impressions with a click.
        examined: Sum of the propensities over these impressions: the equivalent number of impressions at position 1.
    """

    doc_id: str
    relevance: float
    shown: int
    clicks: int
    examined: float


class QueryClicks(Record):
    """Clicks on the results of one query: a row of clicks/.

    Attributes:
        query: Hash of the query, or its normalised text, as recorded.
        exposures: Number of rankings that were shown for the query.
        documents: The documents with enough impressions for an estimate; can be empty.
    """

    query: str
    exposures: int
    documents: list[DocumentClicks]
