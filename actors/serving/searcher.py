"""First-stage retrieval for the demo page: the run's retrievers over its collection, and its test queries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve

from ranking.records import Query, content
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder

MAX_DOCUMENTS = 20
"""Maximum number of documents per query on the page."""


@serve.deployment(max_ongoing_requests=16)
class Searcher:
    """Retrieves documents for the demo page."""

    def __init__(
        self,
        index: Folder,
        vectors: Folder,
        settings: CandidateSettings,
        queries: Sequence[Query],
        qrels: Mapping[str, Mapping[str, int]],
    ) -> None:
        """Load the retrievers.

        Args:
            index: Folder of the run's index.
            vectors: Folder of the embedding cache.
            settings: Settings of the retrievers. Search engines are not used.
            queries: Test queries to offer on the page.
            qrels: Relevance grades of the test queries, {query_id: {doc_id: grade}}.
        """
        from actors.retrieval.candidate_lists import CandidateRetriever

        self._retriever = CandidateRetriever(index, vectors, settings.without_engines())
        self._queries = {query.text: query.query_id for query in queries}
        self._qrels = qrels

    async def queries(self) -> list[str]:
        """Return the texts of the test queries, in collection order."""
        return list(self._queries)

    async def search(self, query: str) -> dict[str, Any]:
        """Return the top documents for a query, fused from all retrievers, with their grades if the query is judged."""
        return await asyncio.to_thread(self._search, query)

    def _search(self, query: str) -> dict[str, Any]:
        (found,) = self._retriever.retrieve([Query(query_id="page", text=query)])
        candidates = self._retriever.candidates(found.fused(MAX_DOCUMENTS))
        grades = self._qrels.get(self._queries.get(query, ""), {})
        documents = [
            {
                "id": c.doc_id,
                "title": c.title,
                "text": c.text,
                "content": content(c.title, c.text),
                "score": c.score,
                "grade": grades.get(c.doc_id),
            }
            for c in candidates
        ]
        return {"query": query, "documents": documents, "judged": bool(grades), "first_stage": "+".join(found.lists)}
