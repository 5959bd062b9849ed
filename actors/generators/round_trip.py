"""Round-trip filter: a generated query is usable only if retrieval finds the document that it was written for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from actors.retrieval.candidate_lists import CandidateRetriever
from actors.retrieval.retrieved import RetrievedDocuments
from ranking.records import DocumentQueries, GenerationStatus, Query, WrittenQuery
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder


class RoundTripFilter:
    """Ray Data actor that searches each usable query, and marks those that do not find their document.

    Args:
        index: Folder of the index.
        vectors: Folder of the embedding cache, with the vectors of all documents and queries.
        settings: Settings of the retrievers.
        depth: Number of first candidates among which the document must be.
    """

    def __init__(self, index: Folder, vectors: Folder, settings: CandidateSettings, depth: int) -> None:
        searched = settings.model_copy(update={"depth": max(depth, settings.depth)})
        self.retriever = CandidateRetriever(index, vectors, searched)
        self.depth = depth

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Map rows of DocumentQueries to rows of Outcome[DocumentQueries]."""
        rows = records(batch, DocumentQueries)
        queries = [
            Query(query_id=query.query_id, text=query.text)
            for row in rows
            for query in row.queries
            if query.status == "ok"
        ]
        found = iter(self.retriever.retrieve(queries) if queries else [])
        checked = [row.model_copy(update={"queries": self._checked(row, found)}) for row in rows]
        outcomes = [Outcome[DocumentQueries](query_id=row.query_id, row=row) for row in checked]
        return table_of(outcomes, Outcome[DocumentQueries])

    def _checked(self, row: DocumentQueries, found: Iterator[RetrievedDocuments]) -> list[WrittenQuery]:
        """Give the usable queries of a document their rank and status."""
        queries = []
        for query in row.queries:
            if query.status == "ok":
                rank = self.rank_of(row.doc_id, next(found))
                found_again = rank is not None and rank <= self.depth
                status: GenerationStatus = "ok" if found_again else "failed_round_trip"
                query = query.model_copy(update={"rank": rank, "status": status})
            queries.append(query)
        return queries

    def rank_of(self, doc_id: str, found: RetrievedDocuments) -> int | None:
        """Return the rank of a document in the fused list; None if it was not found.

        A document with the same text counts as the document itself. Later stages merge such documents into one
        candidate.
        """
        content = self.retriever.documents[doc_id].content if doc_id in self.retriever.documents else None
        for rank, (found_id, _, _) in enumerate(found.fused(self.retriever.depth), start=1):
            known = self.retriever.documents.get(found_id)
            if found_id == doc_id or (known is not None and known.content == content):
                return rank
        return None


def texts_to_search(rows: Sequence[DocumentQueries]) -> list[str]:
    """List the texts of the usable queries of documents."""
    return [query.text for row in rows for query in row.queries if query.status == "ok"]
