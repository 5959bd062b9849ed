"""The page's first stage: the run's own retrievers over its collection, and its test queries to pick from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve

from ranking.records import Query, content
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder

SHOWN = 20


@serve.deployment(max_ongoing_requests=16)
class Searcher:
    """Finds documents for the page."""

    def __init__(
        self,
        index: Folder,
        vectors: Folder,
        settings: CandidateSettings,
        queries: Sequence[Query],
        qrels: Mapping[str, Mapping[str, int]],
    ) -> None:
        from actors.retrieval.candidate_lists import CandidateRetriever

        self._retriever = CandidateRetriever(index, vectors, settings)
        self._queries = {query.text: query.query_id for query in queries}
        self._qrels = qrels

    async def queries(self) -> list[str]:
        """Test queries, in the collection's order."""
        return list(self._queries)

    async def search(self, query: str) -> dict[str, Any]:
        """The first documents for a query, fused, with grades where they are known."""
        return await asyncio.to_thread(self._search, query)

    def _search(self, query: str) -> dict[str, Any]:
        from ranking.retrieval.fusion import reciprocal_rank_fusion

        (ranked,) = self._retriever.found([Query(query_id="page", text=query)])
        candidates = self._retriever.candidates(reciprocal_rank_fusion(ranked, SHOWN))
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
        return {"query": query, "documents": documents, "judged": bool(grades), "first_stage": "+".join(ranked)}
