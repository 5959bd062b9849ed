"""How the ingress uses the searcher of the search page, and the columns that the page shows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field
from ray.serve.handle import DeploymentHandle

from actors.serving.http_api.rankings import order_of
from actors.serving.http_api.schemas import QueryText
from actors.serving.judgements import MAX_GRADE
from actors.serving.scoring.loaded_models import Role
from actors.serving.scoring.reranker import ScoredRequest
from actors.serving.searcher import SavedJudgement
from ranking.errors import first_line

_log = logging.getLogger("ray.serve")

LOADING = "the index and the encoder of the search page are loading"
_PROBE_SECONDS = 2.0


class JudgementRequest(BaseModel):
    """A relevance grade of a document for a query, from 0 (not relevant) to 3. The last grade of a pair counts."""

    model_config = ConfigDict(extra="forbid")

    query: QueryText
    document_id: Annotated[str, Field(min_length=1, max_length=1000)]
    grade: Annotated[int, Field(ge=0, le=MAX_GRADE, strict=True)]


class PageSearch:
    """Calls the searcher's deployment. All its methods work without one, if there is no collection to search."""

    def __init__(self, searcher: DeploymentHandle[Any] | None, timeout_seconds: float) -> None:
        self._searcher, self._timeout_seconds = searcher, timeout_seconds
        self._is_loaded = searcher is None

    async def is_loaded(self) -> bool:
        """Return whether the searcher has loaded its index and encoder.

        Once it has, this stays true. A searcher that fails later does not take the rerank routes out of service.
        """
        if not self._is_loaded:
            try:
                self._is_loaded = await asyncio.wait_for(self._call("ready"), _PROBE_SECONDS)
            except TimeoutError:
                return False
            except Exception as error:  # any error of a replica that does not start; Serve starts it again
                _log.warning("the search page is not ready: %s", first_line(error))
                return False
        return self._is_loaded

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the searcher.

        Raises:
            HTTPException: Status 404 if there is no collection to search, 504 if there is no answer in time.
        """
        if self._searcher is None:
            raise HTTPException(
                404, "no collection to search; serve a run whose collection is indexed for bm25 or dense retrieval"
            )
        try:
            return await asyncio.wait_for(self._call(method, *arguments), self._timeout_seconds)
        except TimeoutError:
            raise HTTPException(
                504, f"no search result within {self._timeout_seconds:g} s (serving.limits.timeout_seconds)"
            ) from None

    async def _call(self, method: str, *arguments: Any) -> Any:
        return await getattr(self._searcher, method).remote(*arguments)


def first_stage_column(results: dict[str, Any]) -> dict[str, Any]:
    """Make the column of the first stage from the searcher's results."""
    return {
        "role": "first stage",
        "version": results["first_stage"],
        "order": list(range(len(results["documents"]))),
        "scores": [document["score"] for document in results["documents"]],
        "milliseconds": results["milliseconds"],
        "blend": None,
    }


def model_column(role: Role, scored: ScoredRequest) -> dict[str, Any]:
    """Make the column of a model. Its latency is the time in the queue and in the model."""
    return {
        "role": role,
        "version": scored.version,
        "order": order_of(scored.scores),
        "scores": scored.scores,
        "milliseconds": 1000 * (scored.queued + scored.scored),
        "blend": scored.blend,
    }


def page_results(
    results: dict[str, Any], columns: Sequence[dict[str, Any]], matches: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Make the answer to the page: the documents in first-stage order, and the columns that order them."""
    shown = ("id", "title", "text", "grade", "saved_grade")
    documents = [
        {**{name: document[name] for name in shown}, "matches": words}
        for document, words in zip(results["documents"], matches, strict=True)
    ]
    same = ("query", "judged", "problem")
    return {**{name: results[name] for name in same}, "documents": documents, "columns": list(columns)}


def judgement_answer(saved: SavedJudgement, request: JudgementRequest) -> dict[str, Any]:
    """Make the answer to a judgement.

    Raises:
        HTTPException: The grade was not saved: status 422 if it cannot be, 503 if storage failed.
    """
    if saved.status == "unknown":
        raise HTTPException(422, "document_id: the collection has no document with this id")
    if saved.status == "unwritable":
        raise HTTPException(422, "document_id: a qrels file cannot contain an id with control characters")
    if saved.status == "failed":
        raise HTTPException(503, "the grade was not saved; send it again later")
    answer = {"query_id": saved.query_id, "document_id": request.document_id, "grade": request.grade}
    return {**answer, "replaced": saved.replaced}
