"""The data class of a collection: its documents, queries and judgements."""

from __future__ import annotations

from dataclasses import dataclass, field

from ranking.languages import ENGLISH
from ranking.records import Document, Query

GENERATED_SPLIT = "generated "
"""Beginning of the name of a test split whose queries were generated."""


@dataclass(frozen=True)
class GeneratedQueries:
    """Where the generated queries of a collection come from.

    Attributes:
        generator: Name of the model that wrote them, or of the file with recorded queries.
        training: Number of queries to label.
        training_documents: Number of documents that they were written for.
        test: Number of test queries. 0 if the test queries are not generated.
        round_trip_depth: Depth of the round-trip filter; None if there was none.
    """

    generator: str
    training: int
    training_documents: int
    test: int
    round_trip_depth: int | None

    def training_note(self) -> str:
        """Describe the training queries in one sentence."""
        return (
            f"The {self.training:,} queries to label were generated from {self.training_documents:,} documents by "
            f"{self.generator}."
        )

    def test_warning(self) -> str | None:
        """Return the reason to distrust measurements on the test queries; None if these are not generated."""
        if not self.test:
            return None
        found = (
            f" Queries whose document is not among the first {self.round_trip_depth} candidates were dropped, which "
            "raises the measures of the first stages."
            if self.round_trip_depth is not None
            else ""
        )
        return (
            f"the {self.test:,} test queries were generated from documents by {self.generator}: each has a single "
            "known relevant document, the one that it was written for, and all other documents count as not relevant. "
            f"Measures show whether a system finds that document, not what users would think.{found}"
        )


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
        generated: Origin of the queries to label if they were generated from documents, and of the test queries if
            these were generated too. None if no query was generated.
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
    generated: GeneratedQueries | None = None

    def split_name(self, split: str) -> str:
        """Return the name of the test split for reports. That of generated test queries says so."""
        return f"{GENERATED_SPLIT}{split}" if self.generated is not None and self.generated.test else split
