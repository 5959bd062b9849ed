"""The HTTP routes of the service. Each replica also runs the model, so a request needs only one process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from actors.serving.experiment.traffic import Traffic, UnknownExposureError
from actors.serving.http_api.admission import Admission, TooManyRequestsError
from actors.serving.http_api.application import ERRORS, Caller, api
from actors.serving.http_api.body_reader import BodyReader
from actors.serving.http_api.engine_request import EngineRequest
from actors.serving.http_api.hosts import AllowedHosts
from actors.serving.http_api.keys import ApiKeys
from actors.serving.http_api.middleware import AccessMiddleware, AccessPolicy
from actors.serving.http_api.page import CONTENT_SECURITY_POLICY, PAGE
from actors.serving.http_api.rankings import ranking_array, ranking_object
from actors.serving.http_api.request_documents import readable
from actors.serving.http_api.rerank_input import read_input
from actors.serving.http_api.responses import set_ranking_headers
from actors.serving.http_api.schemas import Feedback, FirstStage, RerankRequest
from actors.serving.http_api.text_limits import check_texts
from actors.serving.page_search import (
    LOADING,
    JudgementRequest,
    PageSearch,
    first_stage_column,
    judgement_answer,
    model_column,
    page_results,
)
from actors.serving.scoring.loaded_models import Role
from actors.serving.scoring.reranker import NotCalibratedError, Reranker, ScoredRequest
from actors.serving.scoring.tokenizing import TextsToTokenize, TooLongError
from actors.serving.service_metrics import IngressMetrics
from actors.serving.serving_settings import ServingSettings
from ranking.evaluation.featured_system import WorseQueries
from ranking.storage.folder import Folder

_log = logging.getLogger("ray.serve")

MAX_ONGOING_REQUESTS = 20_000
"""Requests per replica, including those whose bodies arrive slowly. Ray Serve's own queue would also delay /health."""


@serve.deployment(max_ongoing_requests=MAX_ONGOING_REQUESTS)
@serve.ingress(api)
class Ingress:
    """The deployment that serves all routes and scores the requests."""

    def __init__(self, storage: Folder, settings: ServingSettings, searcher: DeploymentHandle[Any] | None) -> None:
        """Load the models.

        Args:
            storage: Storage root, which contains the registry and receives exposures and feedback.
            settings: Settings of the service.
            searcher: Deployment for the search page. None if the collection is not indexed.
        """
        self._reranker = Reranker(
            storage, settings.traffic.challenger, settings.registry_poll_seconds, settings.threads, settings.cache
        )
        self._page_search = PageSearch(searcher, settings.limits.timeout_seconds)
        self._settings, self._limits = settings, settings.limits
        several_keys = settings.keys is not None
        self._admission = Admission(settings.limits, several_keys)
        self._metrics = IngressMetrics()
        self._traffic = Traffic(settings, storage, self._metrics)
        self._created = int(time.time())
        AccessMiddleware.policy = AccessPolicy(
            ApiKeys(settings.keys, self._metrics) if settings.keys is not None else None,
            AllowedHosts(settings.allowed_hosts, several_keys),
            settings.limits,
            BodyReader(settings.limits, several_keys),
            self._metrics,
            tuple(settings.allowed_origins),
        )

    def __del__(self) -> None:
        """Write the journals to storage. Serve calls this when it shuts a replica down gracefully."""
        self._traffic.close()

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        """Return 200 while the process is up."""
        return {"status": "ok"}

    @api.get("/ready", responses={503: {"description": "The index and the encoder of the search page are loading."}})
    async def ready(self) -> dict[str, Any]:
        """Return 200 and the served versions once the models, and the index of the search page, are loaded."""
        if not await self._page_search.is_loaded():
            raise HTTPException(503, LOADING, {"retry-after": "1"})
        return {"status": "ready", "versions": self._reranker.versions()}

    @api.get("/v1/models")
    async def models(self) -> dict[str, Any]:
        """List the served versions."""
        models = [
            {"id": version, "object": "model", "created": self._created, "owned_by": "rradistill", "role": role}
            for role, version in self._reranker.versions().items()
        ]
        return {"object": "list", "data": models}

    @api.post("/v1/rerank", responses=ERRORS)
    async def rerank(self, request: RerankRequest, raw: Request, response: Response, caller: Caller) -> dict[str, Any]:
        """Rank documents, best first, in the format of Cohere's v1 API and Jina's API."""
        return await self._rerank(request, raw, response, caller, "1")

    @api.post("/v2/rerank", responses=ERRORS)
    async def rerank_v2(
        self, request: RerankRequest, raw: Request, response: Response, caller: Caller
    ) -> dict[str, Any]:
        """Rank documents, best first, in the format of Cohere's v2 API."""
        return await self._rerank(request, raw, response, caller, "2")

    @api.post("/rerank", responses=ERRORS)
    async def rerank_for_engines(
        self, request: EngineRequest, response: Response, caller: Caller
    ) -> list[dict[str, Any]] | dict[str, Any]:
        """Rank documents, best first, in the format of Text Embeddings Inference, Elasticsearch, vLLM or Infinity."""
        read = read_input(request, self._limits, self._settings.blend, self._reranker.splits_documents)
        needs_calibration = request.min_score is not None
        async with self._admit(caller, self._reranker.pairs_to_score(read.texts)):
            scored = await self._score(read.texts, caller, "champion", read.first_stage, needs_calibration)
        set_ranking_headers(
            response, scored.version, scored.queued, scored.scored, blend=scored.blend, ignored=read.ignored
        )
        ranked = read.make_ranked(scored.order(request.min_score, request.limit), scored.scores)
        if request.wants_array:
            return ranking_array(ranked)
        return ranking_object(ranked, scored.version, scored.tokens, "1", scored.blend, read.ignored)

    @api.post("/v1/feedback", status_code=202, responses=ERRORS)
    async def feedback(self, event: Feedback, caller: Caller) -> dict[str, str]:
        """Record a user's reaction to a ranking.

        The event is durable once the response is sent. A client may send it again with the same `event_id`.
        """
        if not self._settings.record.exposures:
            raise HTTPException(422, "feedback is not recorded; set serving.record.exposures to true")
        async with self._admit(caller, 0):
            try:
                return {"event_id": await asyncio.to_thread(self._traffic.feedback, event)}
            except UnknownExposureError:
                raise HTTPException(422, "exposure_id: not an id that this service has returned") from None
            except OSError as error:
                _log.error("cannot record feedback: %s", error)
                raise HTTPException(503, "the feedback was not recorded; send it again later") from None

    @api.post("/v1/judgements", responses=ERRORS)
    async def judge(self, judgement: JudgementRequest, caller: Caller) -> dict[str, Any]:
        """Save a relevance grade of a document of the served collection.

        The grade is on storage once the response is sent. `replaced` is the earlier grade of the pair, if any.
        """
        query = readable(judgement.query)
        check_texts(query, [], "documents", self._limits)
        document_id = readable(judgement.document_id)
        async with self._admit(caller, 0):
            saved = await self._page_search.call("judge", query, document_id, judgement.grade, caller)
        return judgement_answer(saved, judgement)

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """Serve the search page."""
        if not self._settings.page:
            raise HTTPException(404, "the page is disabled (serving.page)")
        headers = {"cache-control": "no-store", "content-security-policy": CONTENT_SECURITY_POLICY}
        return HTMLResponse(PAGE, headers=headers)

    @api.get("/page/queries", include_in_schema=False)
    async def page_queries(self, caller: Caller) -> dict[str, Any]:
        """Return the test queries that the page offers."""
        async with self._admit(caller, 0):
            return {"queries": await self._page_search.call("queries")}

    @api.get("/page/worse-queries", include_in_schema=False)
    async def page_worse_queries(self, caller: Caller) -> WorseQueries:
        """Return the test queries that got worse in the evaluation of the served run."""
        async with self._admit(caller, 0):
            worse: WorseQueries | None = await self._page_search.call("worse_queries")
        if worse is None:
            raise HTTPException(404, "the served run has no evaluation; run ray_jobs.evaluate, then serve again")
        return worse

    @api.get("/page/search", include_in_schema=False)
    async def page_search(self, query: str, caller: Caller) -> dict[str, Any]:
        """Search the collection. Return the documents in first-stage order, and the order of each model."""
        query = readable(query)
        check_texts(query, [], "documents", self._limits)
        async with self._admit(caller, 0):
            results = await self._page_search.call("search", query)
        documents = results["documents"]
        headings = [len(document["content"]) - len(document["text"]) for document in documents]
        texts = TextsToTokenize(query, [document["content"] for document in documents], heading_lengths=headings)
        columns = [first_stage_column(results)]
        blended = FirstStage(columns[0]["scores"]) if self._settings.blend else None
        compares = self._settings.traffic.challenger is not None and not self._reranker.challenger_is_champion
        roles: tuple[Role, ...] = ("champion", "challenger") if compares else ("champion",)
        async with self._admit(caller, self._reranker.pairs_to_score(texts)):
            for role in roles:  # one after the other, so that their latencies can be compared
                columns.append(model_column(role, await self._score(texts, caller, role, blended)))
        return page_results(results, columns, await self._reranker.matches(query, list(texts.documents)))

    async def _rerank(
        self, request: RerankRequest, raw: Request, response: Response, caller: str, api_version: str
    ) -> dict[str, Any]:
        read = read_input(request, self._limits, self._settings.blend, self._reranker.splits_documents)
        texts, first_stage = read.texts, read.first_stage
        needs_calibration = request.min_score is not None
        # An uncalibrated challenger cannot apply `min_score`, so such requests do not take part in the experiment.
        excluded = needs_calibration and not self._reranker.is_calibrated("challenger")
        key = None if excluded else raw.headers.get("x-experiment-key")
        plan = self._traffic.plan(key, self._reranker.challenger_is_champion)
        async with self._admit(caller, self._reranker.pairs_to_score(texts)):
            scoring = [self._score(texts, caller, role, first_stage, needs_calibration) for role in plan.roles]
            scored = list(await asyncio.gather(*scoring))
        shown = self._traffic.show(plan, scored, request.limit, request.min_score)
        self._traffic.record(plan, shown, texts.query, request.ids, self._shadow(texts, caller, first_stage))
        queued, seconds = max(result.queued for result in scored), max(result.scored for result in scored)
        blends = list(dict.fromkeys(result.blend or "none" for result in scored))
        blend = None if blends == ["none"] else " + ".join(blends)
        set_ranking_headers(response, shown.version, queued, seconds, shown.arm, shown.exposure_id, blend, read.ignored)
        tokens = sum(result.tokens for result in scored)
        ranked = read.make_ranked(shown.order, shown.scores)
        return ranking_object(ranked, shown.version, tokens, api_version, blend, read.ignored)

    def _shadow(self, texts: TextsToTokenize, caller: str, first_stage: FirstStage | None) -> Any:
        return lambda: self._reranker.score(texts, caller, "challenger", low_priority=True, first_stage=first_stage)

    async def _score(
        self,
        texts: TextsToTokenize,
        caller: str,
        role: Role = "champion",
        first_stage: FirstStage | None = None,
        needs_calibration: bool = False,
    ) -> ScoredRequest:
        scoring = self._reranker.score(
            texts, caller, role, first_stage=first_stage, needs_calibration=needs_calibration
        )
        try:
            return await asyncio.wait_for(scoring, self._limits.timeout_seconds)
        except TimeoutError:
            raise HTTPException(
                504, f"not scored within {self._limits.timeout_seconds:g} s (serving.limits.timeout_seconds)"
            ) from None
        except TooLongError as error:
            raise HTTPException(413, str(error)) from None
        except NotCalibratedError as error:
            raise HTTPException(422, f"min_score: {error}") from None

    @asynccontextmanager
    async def _admit(self, caller: str, documents: int) -> AsyncIterator[None]:
        try:
            with self._admission.admit(caller, documents):
                self._metrics.set_in_progress(self._admission.documents)
                yield
        except TooManyRequestsError as error:
            raise HTTPException(429, str(error), {"retry-after": str(error.retry_after)}) from None
        finally:
            self._metrics.set_in_progress(self._admission.documents)
