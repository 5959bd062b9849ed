"""The data class of a collection: its documents, queries and judgements."""

from __future__ import annotations

from dataclasses import dataclass, field

from ranking.languages import ENGLISH
from ranking.records import Document, Query


@dataclass
class Collection:
    """A collection in memory.

    Attributes:
        name: Name of the collection.
        fingerprint: Hash of the content.
        documents: All documents, with unique ids. Documents without text are not indexed.
        log: Queries that the teacher can label for training.
        test: Judged queries that students are evaluated on.
        qrels: Judgements of the test queries: {query_id: {doc_id: grade}}. Grades are integers; 0 and below mean not
            relevant.
        log_qrels: Judgements of log queries, if any. A supervised baseline can learn from them.
        notes: Remarks about the content to show to the user, one line each.
        halved: Whether the collection has only one set of judgements, so its queries were divided: about half are in
            `test`, the others in `log`.
        language: Language of documents and queries.
    """

    name: str
    fingerprint: str
    documents: list[Document]
    log: list[Query]
    test: list[Query]
    qrels: dict[str, dict[str, int]]
    notes: list[str] = field(default_factory=list)
    log_qrels: dict[str, dict[str, int]] = field(default_factory=dict)
    halved: bool = False
    language: str = ENGLISH
