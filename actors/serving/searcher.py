"""The search page's part of the service: first-stage retrieval, test queries and judgements."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ray import serve

from actors.serving.judgements import Judgement, JudgementFiles, UnwritableIdError, text_query_id
from ranking.errors import first_line
from ranking.evaluation.featured_system import WorseQueries
from ranking.records import Query, content
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder

MAX_DOCUMENTS = 20
"""Maximum number of documents per query on the page."""

MAX_OFFERED_QUERIES = 200
"""Maximum number of test queries that the page offers."""

_WARM_UP = "a query to warm up with"
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class PageContent:
    """What the page shows in addition to the documents that it finds.

    Attributes:
        queries: The test queries.
        qrels: Relevance grades of the test queries, {query_id: {doc_id: grade}}.
        worse: Queries that got worse in the run's evaluation. None without an evaluation.
    """

    queries: Sequence[Query] = ()
    qrels: Mapping[str, Mapping[str, int]] | None = None
    worse: WorseQueries | None = None


@dataclass(frozen=True)
class SavedJudgement:
    """Outcome of a judgement.

    Attributes:
        status: `saved`, `unknown` if the collection does not have the document, `unwritable` if an id cannot be written
            in a qrels file, or `failed` if storage failed.
        query_id: Id under which the grade is saved.
        replaced: Earlier grade of the pair. None if there was none.
    """

    status: Literal["saved", "unknown", "unwritable", "failed"]
    query_id: str
    replaced: int | None = None


@serve.deployment(max_ongoing_requests=16)
class Searcher:
    """Retrieves documents for the search page, and saves the grades that its users give."""

    def __init__(
        self,
        index: Folder,
        vectors: Folder,
        settings: CandidateSettings,
        page: PageContent,
        judgements: Folder,
        records_texts: bool = False,
    ) -> None:
        """Load the retrievers, and search once, which loads the sentence encoder.

        Args:
            index: Folder of the run's index.
            vectors: Folder of the embedding cache.
            settings: Settings of the retrievers. Search engines are not used.
            page: What the page shows in addition to documents.
            judgements: Folder for the judgements.
            records_texts: Whether judgements contain the text of the query.
        """
        from actors.retrieval.candidate_lists import CandidateRetriever

        self._retriever = CandidateRetriever(index, vectors, settings.without_engines())
        self._query_ids = {query.text.strip(): query.query_id for query in page.queries}
        self._page, self._qrels = page, page.qrels or {}
        self._judgements, self._records_texts = JudgementFiles(judgements), records_texts
        self._retriever.retrieve([Query(query_id="warm-up", text=_WARM_UP)])

    async def ready(self) -> bool:
        """Return True. A replica answers only after its retrievers are loaded."""
        return True

    async def queries(self) -> list[str]:
        """Return the texts of the test queries that the page offers, in collection order."""
        return list(self._query_ids)[:MAX_OFFERED_QUERIES]

    async def worse_queries(self) -> WorseQueries | None:
        """Return the queries that got worse in the run's evaluation. None without an evaluation."""
        return self._page.worse

    async def search(self, query: str) -> dict[str, Any]:
        """Return the top documents for a query, fused from all retrievers, with their grades."""
        return await asyncio.to_thread(self._search, query)

    async def judge(self, query: str, doc_id: str, grade: int, caller: str) -> SavedJudgement:
        """Save a grade. The last grade of a pair counts."""
        return await asyncio.to_thread(self._judge, query, doc_id, grade, caller)

    def _search(self, query: str) -> dict[str, Any]:
        started = time.perf_counter()
        (found,) = self._retriever.retrieve([Query(query_id="page", text=query)])
        candidates = self._retriever.candidates(found.fused(MAX_DOCUMENTS))
        milliseconds = 1000 * (time.perf_counter() - started)
        query_id = self._query_id(query)
        grades, (saved, problem) = self._qrels.get(query_id, {}), self._saved_grades(query_id)
        documents = [
            {
                "id": c.doc_id,
                "title": c.title,
                "text": c.text,
                "content": content(c.title, c.text),
                "score": c.score,
                "grade": grades.get(c.doc_id),
                "saved_grade": saved.get(c.doc_id),
            }
            for c in candidates
        ]
        return {
            "query": query,
            "documents": documents,
            "judged": bool(grades),
            "first_stage": "+".join(found.lists),
            "milliseconds": milliseconds,
            "problem": problem,
        }

    def _query_id(self, query: str) -> str:
        """Return the id of a test query, or the hash of another query's text. Surrounding white space is ignored."""
        return self._query_ids.get(query.strip()) or text_query_id(query.strip())

    def _saved_grades(self, query_id: str) -> tuple[dict[str, int], str | None]:
        """Return the saved grades of a query, and what is wrong if they cannot be read."""
        try:
            return self._judgements.grades_of(query_id), None
        except Exception as error:  # any error of the storage: the page can show the ranking without these grades
            _log.error("cannot read judgements: %s", first_line(error))
            return {}, "saved grades cannot be read, see the log of the service"

    def _judge(self, query: str, doc_id: str, grade: int, caller: str) -> SavedJudgement:
        query_id = self._query_id(query)
        if doc_id not in self._retriever.documents:
            return SavedJudgement("unknown", query_id)
        text = query if self._records_texts else None
        row = Judgement(at=time.time(), query_id=query_id, doc_id=doc_id, grade=grade, caller=caller, query=text)
        try:
            return SavedJudgement("saved", query_id, self._judgements.save(row))
        except UnwritableIdError:
            return SavedJudgement("unwritable", query_id)
        except Exception as error:  # any error of the storage: the caller can send the grade again
            _log.error("cannot save a judgement: %s", first_line(error))
            return SavedJudgement("failed", query_id)
