"""Records for the documents of a collection, and for the queries of its log and test split."""

from __future__ import annotations

from typing import Literal

from ranking.records.record import Record

SplitName = Literal["log", "test"]
"""Origin of a query. `log`: the query log, whose labels are training data. `test`: the judged test queries."""


class Document(Record):
    """A passage of the collection.

    Attributes:
        title: May be empty.
        text: The text to rank.
    """

    doc_id: str
    title: str = ""
    text: str

    @property
    def content(self) -> str:
        """Title and text, joined in the format that all retrievers, teachers and students read."""
        return content(self.title, self.text)


class Query(Record):
    """A query of the log or of a test split.

    Attributes:
        frequency: Number of occurrences in the log, 1 or more.
    """

    query_id: str
    text: str
    frequency: int = 1


class SelectedQuery(Query):
    """A selected long-tail query: a row of queries/.

    Attributes:
        frequency: Number of occurrences in the log, including those of its near-duplicates.
        duplicates: Near-duplicate forms of the query in the log, most frequent first.
        terms: Length in terms.
        length: Length component of the selection score, 0 to 1.
        complexity: Complexity component of the selection score, 0 to 1.
        rarity: Rarity component of the selection score, 0 to 1.
        score: Selection score: the weighted mean of the three components.
    """

    duplicates: list[str]
    terms: int
    length: float
    complexity: float
    rarity: float
    score: float


def content(title: str, text: str) -> str:
    """Join the title and text of a document. All retrievers, teachers and students read this format."""
    return f"{title}\n{text}" if title else text
