"""Records of generated queries: what a generator wrote about a document, and the queries that remain."""

from __future__ import annotations

from typing import Literal

from ranking.records.collection_records import SplitName
from ranking.records.label_records import Usage
from ranking.records.record import Record

QueryStyle = Literal["question", "problem", "keywords", "example", "unstated"]
"""Form of a generated query. `example`: that of the team's example queries. `unstated`: the generator did not say."""

GenerationStatus = Literal[
    "ok",
    "failed",
    "truncated",
    "refused",
    "bad_json",
    "empty",
    "too_long",
    "copied",
    "surplus",
    "failed_round_trip",
    "duplicate",
]
"""Status of a generated query. Only queries with status `ok` are used.

The whole answer is unusable: `failed`: the engine rejected the prompt. `truncated`: the answer reached the maximum
length. `refused`: it begins with a refusal. `bad_json`: it has another form. One query is unusable: `empty`: no letters
or digits, or no query at all. `too_long`, `copied`: it is longer than `max_terms`, or repeats more than
`max_copied_terms` consecutive terms of the document. `surplus`: the generator wrote more queries than it was asked for.
`failed_round_trip`: retrieval does not find the document. `duplicate`: near-duplicate of another generated query.
"""


class SourcePassage(Record):
    """A document that queries are written for.

    Attributes:
        query_id: Key of the document, with which the ids of its queries begin.
        text: Title and text.
    """

    query_id: str
    doc_id: str
    text: str


class WrittenQuery(Record):
    """A query as the generator wrote it.

    Attributes:
        text: The query, with collapsed white space. The beginning of the answer if the whole answer is unusable.
        rank: Rank of the document among the candidates that retrieval finds for the query. None if it was not found or
            not searched.
    """

    query_id: str
    text: str
    style: QueryStyle
    status: GenerationStatus
    rank: int | None = None


class DocumentQueries(Record):
    """The queries that the generator wrote for one document, usable or not: at least one.

    Attributes:
        query_id: Key of the document.
        generator: Name of the model, or of the file with recorded queries.
        prompt: Hash of the prompt. None for recorded queries.
    """

    query_id: str
    doc_id: str
    queries: list[WrittenQuery]
    generator: str
    prompt: str | None = None
    usage: Usage = Usage()


class GeneratedQuery(Record):
    """A generated query: a row of generated/queries/.

    Attributes:
        doc_id: The document that the query was written for.
        split: `test` for queries of the documents that are kept for testing.
        rank: Rank of the document among the candidates that retrieval finds for the query. None without a search.
        generator: Name of the model, or of the file with recorded queries.
    """

    query_id: str
    text: str
    doc_id: str
    style: QueryStyle
    status: GenerationStatus
    split: SplitName = "log"
    rank: int | None = None
    generator: str
