"""The HTTP routes of the service. A replica holds its model, so that a request goes through one process only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException as AnyHTTPException

from actors.serving.admission import Admission, TooManyError
from actors.serving.keys import ApiKeys
from actors.serving.loaded_models import Role
from actors.serving.middleware import AccessMiddleware, caller_of
from actors.serving.page import PAGE
from actors.serving.reranker import Reranker, ScoredRequest, TooLongError
from actors.serving.responses import refused_body, refused_request, told
from actors.serving.schemas import (
    Feedback,
    FirstStage,
    RerankRequest,
    TextsRequest,
    order_of,
    ranking,
    readable,
    texts_ranking,
)
from actors.serving.service_metrics import IngressMetrics
from actors.serving.settings import ServingSettings
from actors.serving.traffic import Traffic
from ranking.storage.folder import Folder

_log = logging.getLogger("ray.serve")

api = FastAPI(
    title="rradistill",
    description="A distilled re-ranker. All shapes have one order; relevance_score and score are the sigmoid of the raw score.",
)
api.add_middleware(AccessMiddleware)


@api.exception_handler(RequestValidationError)
async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    return refused_request(error)


@api.exception_handler(AnyHTTPException)
async def _refused(request: Request, error: AnyHTTPException) -> JSONResponse:
    return refused_body(error.status_code, str(error.detail), error.headers)


@api.exception_handler(Exception)
async def _failed(request: Request, error: Exception) -> JSONResponse:
    _log.error(
        "%s %s: %s: %s",
        request.method,
        request.url.path,
        type(error).__name__,
        str(error).splitlines()[0] if str(error) else "",
    )
    return refused_body(500, "the service failed on this request; its log tells why")


Caller = Annotated[str, Depends(caller_of)]
ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one."},
    413: {"description": "The body is too large, or a text that was not to be cut is too long."},
    422: {"description": "The request is no good; the message says what and where."},
    429: {"description": "Too many requests under way; Retry-After says when to come back."},
    504: {"description": "The request took too long."},
}


@serve.deployment(max_ongoing_requests=2000)
@serve.ingress(api)
class Ingress:
    """The HTTP routes."""

    def __init__(self, storage: Folder, settings: ServingSettings, searcher: DeploymentHandle | None) -> None:
        self._reranker = Reranker(
            storage, settings.traffic.challenger, settings.registry_poll_seconds, settings.threads
        )
        self._searcher = searcher
        self._settings, self._limits = settings, settings.limits
        self._admission = Admission(settings.limits)
        self._metrics = IngressMetrics()
        self._traffic = Traffic(settings, storage, self._metrics)
        self._began = int(time.time())
        AccessMiddleware.open(
            ApiKeys(settings.keys) if settings.keys else None, settings.limits.max_body_bytes, self._metrics
        )

    def __del__(self) -> None:
        """Serve calls this when a replica ends in good order: what is in its journals goes to storage."""
        self._traffic.close()

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        """Answer while the routes are up."""
        return {"status": "ok"}

    @api.get("/ready")
    async def ready(self) -> dict[str, Any]:
        """Answer once models are loaded, with their versions."""
        return {"status": "ready", "versions": self._reranker.versions()}

    @api.get("/v1/models")
    async def models(self) -> dict[str, Any]:
        """The versions that are served."""
        held = [
            {"id": version, "object": "model", "created": self._began, "owned_by": "rradistill", "role": role}
            for role, version in self._reranker.versions().items()
        ]
        return {"object": "list", "data": held}

    @api.post("/v1/rerank", responses=ERRORS)
    async def rerank(self, request: RerankRequest, raw: Request, response: Response, caller: Caller) -> dict[str, Any]:
        """Rank documents, best first, in Cohere's first shape and Jina's."""
        return await self._rerank(request, raw, response, caller, "1")

    @api.post("/v2/rerank", responses=ERRORS)
    async def rerank_v2(
        self, request: RerankRequest, raw: Request, response: Response, caller: Caller
    ) -> dict[str, Any]:
        """Rank documents, best first, in Cohere's second shape."""
        return await self._rerank(request, raw, response, caller, "2")

    @api.post("/rerank", responses=ERRORS)
    async def rerank_texts(self, request: TextsRequest, response: Response, caller: Caller) -> list[dict[str, Any]]:
        """Rank texts, best first, in the shape of Text Embeddings Inference."""
        self._check_count(len(request.texts), "texts")
        texts = [readable(text) for text in request.texts]
        self._check(request.query, texts, "texts")
        async with self._admitted(caller, len(texts)):
            before = FirstStage() if request.first_stage == "order" and self._settings.blend else None
            scored = await self._score(readable(request.query), texts, whole=not request.truncate, first_stage=before)
        told(response, scored.version, scored.queued, scored.scored, blend=scored.blend)
        return texts_ranking(request, scored.scores)

    @api.post("/v1/feedback", status_code=202, responses=ERRORS)
    async def feedback(self, event: Feedback, caller: Caller) -> dict[str, str]:
        """Take in what a user did with an answer; it is durable when this is answered. May be sent again with the same event_id."""
        if not self._settings.record.exposures:
            raise HTTPException(422, "nothing is recorded here: serving.record.exposures is off")
        return {"event_id": await asyncio.to_thread(self._traffic.feedback, event)}

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """The page."""
        if not self._settings.page:
            raise HTTPException(404, "the page is off: serving.page")
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"cache-control": "no-store"})

    @api.get("/page/queries", include_in_schema=False)
    async def page_queries(self, caller: Caller) -> dict[str, Any]:
        """Queries to pick from on the page."""
        searcher = self._page_searcher()
        return {"queries": await self._found(caller, searcher.queries.remote())}

    @api.get("/page/search", include_in_schema=False)
    async def page_search(self, query: str, caller: Caller) -> dict[str, Any]:
        """The first stage's order of a query's documents, and the student's."""
        searcher = self._page_searcher()
        query = readable(query)
        self._check(query, [], "documents")
        found = await self._found(caller, searcher.search.remote(query))
        texts = [document["content"] for document in found["documents"]]
        began = time.perf_counter()
        async with self._admitted(caller, len(texts)):
            before = (
                FirstStage([document["score"] for document in found["documents"]]) if self._settings.blend else None
            )
            scored = await self._score(query, texts, first_stage=before)
        milliseconds = 1000 * (time.perf_counter() - began)
        matches = await self._reranker.matches(query, texts)
        for document, score, words in zip(found["documents"], scored.scores, matches, strict=True):
            document.update({"score": score, "matches": words})
        order = order_of(scored.scores)
        return {**found, "order": order, "version": scored.version, "milliseconds": milliseconds, "blend": scored.blend}

    async def _rerank(
        self, request: RerankRequest, raw: Request, response: Response, caller: str, api_version: str
    ) -> dict[str, Any]:
        self._check_count(len(request.documents), "documents")
        query, texts = readable(request.query), request.texts
        self._check(query, texts, "documents")
        before = self._ranked_before(request)
        plan = self._traffic.plan(raw.headers.get("x-experiment-key"), self._reranker.are_one)
        async with self._admitted(caller, len(texts)):
            asked = [
                self._score(query, texts, request.max_tokens_per_doc, role=role, first_stage=before)
                for role in plan.roles
            ]
            scored = list(await asyncio.gather(*asked))
        shown = self._traffic.show(plan, scored, request.top_n)
        self._traffic.record(
            plan, shown, query, request.ids, self._shadow(query, texts, request.max_tokens_per_doc, before)
        )
        waited, took = max(one.queued for one in scored), max(one.scored for one in scored)
        blends = list(dict.fromkeys(one.blend or "none" for one in scored))
        blend = None if blends == ["none"] else " + ".join(blends)
        told(response, shown.version, waited, took, shown.arm, shown.exposure_id, blend)
        return ranking(
            request, shown.order, shown.scores, shown.version, sum(one.tokens for one in scored), api_version, blend
        )

    def _ranked_before(self, request: RerankRequest) -> FirstStage | None:
        """How the first stage ranked a request's documents, where that is to be blended in."""
        try:
            before = request.ranked_before()
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return before if self._settings.blend else None

    async def _found(self, caller: str, answer: Any) -> Any:
        """What the page's searcher answers, in time."""

        async def awaited() -> Any:
            return await answer

        async with self._admitted(caller, 0):
            try:
                return await asyncio.wait_for(awaited(), self._limits.timeout_seconds)
            except TimeoutError:
                raise HTTPException(
                    504, f"not found within {self._limits.timeout_seconds:g} s (serving.limits.timeout_seconds)"
                ) from None

    def _shadow(self, query: str, texts: list[str], cut: int | None, before: FirstStage | None) -> Any:
        return lambda: self._reranker.score(query, texts, cut, role="challenger", spare=True, first_stage=before)

    async def _score(
        self,
        query: str,
        texts: list[str],
        cut: int | None = None,
        whole: bool = False,
        role: Role = "champion",
        first_stage: FirstStage | None = None,
    ) -> ScoredRequest:
        scoring = self._reranker.score(query, texts, cut, whole, role, first_stage=first_stage)
        try:
            return await asyncio.wait_for(scoring, self._limits.timeout_seconds)
        except TimeoutError:
            raise HTTPException(
                504, f"not scored within {self._limits.timeout_seconds:g} s (serving.limits.timeout_seconds)"
            ) from None
        except TooLongError as error:
            raise HTTPException(413, str(error)) from None

    @asynccontextmanager
    async def _admitted(self, caller: str, documents: int) -> AsyncIterator[None]:
        try:
            with self._admission.admitted(caller, documents):
                self._metrics.under_way(self._admission.documents)
                yield
        except TooManyError as error:
            raise HTTPException(429, str(error), {"retry-after": str(error.after)}) from None
        finally:
            self._metrics.under_way(self._admission.documents)

    def _check_count(self, texts: int, what: str) -> None:
        if texts > self._limits.max_documents:
            raise HTTPException(422, f"{what}: {texts:,} are more than {self._limits.max_documents:,}")

    def _check(self, query: str, texts: list[str], what: str) -> None:
        most = self._limits.max_characters
        if len(query) > most:
            raise HTTPException(422, f"query: {len(query):,} characters are more than {most:,}")
        for i, text in enumerate(texts):
            if len(text) > most:
                raise HTTPException(422, f"{what}[{i}]: {len(text):,} characters are more than {most:,}")

    def _page_searcher(self) -> DeploymentHandle:
        if self._searcher is None:
            raise HTTPException(
                404, "this service has no collection to search; the page needs a run whose collection is indexed"
            )
        return self._searcher
