"""Score requests in a replica: tokenize in one thread, and score batches with pairs of several requests in others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice

import torch

from actors.serving.caches.replica_caches import ReplicaCaches
from actors.serving.caches.score_cache import ComputedScores
from actors.serving.http_api.rankings import order_of, sigmoid
from actors.serving.http_api.schemas import FirstStage
from actors.serving.scoring.batching import TokenBatcher
from actors.serving.scoring.loaded_models import LoadedModels, Role
from actors.serving.scoring.tokenizing import TextsToTokenize, TokenizerQueue
from actors.serving.service_metrics import CacheMetrics, ScorerMetrics
from actors.serving.serving_settings import CacheSettings
from ranking.blending import Blend
from ranking.storage.folder import Folder
from students.passage_splitting import best_passages, estimated_passages
from students.scoring import Scorer
from students.token_selection import matched_words


@dataclass(frozen=True)
class ScoredRequest:
    """The scores of one request.

    Attributes:
        scores: Raw or blended scores, in document order.
        version: Version of the model.
        tokens: Tokens of all pairs as the model reads them, without padding. Cached pairs count too.
        queued: Seconds from the request's arrival to the start of its first chunk (batch of pairs).
        scored: Seconds from the start of its first chunk to the end of its last chunk.
        blend: How scores were blended with the first stage, such as "ranks, w = 0.7". None if they were not blended.
        student_scores: Raw scores, in document order. None if `scores` are these.
    """

    scores: list[float]
    version: str
    tokens: int
    queued: float
    scored: float
    blend: str | None = None
    student_scores: list[float] | None = None

    def is_kept(self, index: int, min_score: float | None) -> bool:
        """Return whether the sigmoid of a document's raw score is at least `min_score`. Always True if that is None."""
        scores = self.scores if self.student_scores is None else self.student_scores
        return min_score is None or sigmoid(scores[index]) >= min_score

    def order(self, min_score: float | None = None, top_n: int | None = None) -> list[int]:
        """Return the indices of the `top_n` best documents that are kept, best first."""
        return [i for i in order_of(self.scores) if self.is_kept(i, min_score)][:top_n]


class NotCalibratedError(Exception):
    """A request has a minimum score, but the model's scores are not calibrated."""


class Reranker:
    """Scores documents with the champion or the challenger. Pairs of concurrent requests share batches."""

    def __init__(
        self, storage: Folder, challenger: str | None, poll_seconds: float, threads: int, cache: CacheSettings
    ) -> None:
        """Load the models and start the threads.

        Args:
            storage: Storage root that contains the registry.
            challenger: Version to serve next to the champion, if any.
            poll_seconds: Seconds between reads of the registry.
            threads: Number of PyTorch threads, and maximum number of batches that are scored at the same time.
            cache: Sizes of the caches.
        """
        torch.set_num_threads(threads)
        self._metrics = ScorerMetrics()
        self._cache = ReplicaCaches(cache, CacheMetrics)
        self._models = LoadedModels(storage, challenger, poll_seconds, self._metrics.record_load, self._cache.prepare)
        self._batcher = TokenBatcher(self._metrics.record_chunk, threads)
        self._tokenizers = TokenizerQueue()

    async def score(
        self,
        texts: TextsToTokenize,
        caller: str = "",
        role: Role = "champion",
        low_priority: bool = False,
        first_stage: FirstStage | None = None,
        needs_calibration: bool = False,
    ) -> ScoredRequest:
        """Score documents for a query.

        Args:
            texts: The query and its documents.
            caller: Name of the caller, who shares the replica fairly with other callers.
            role: Model to score with.
            low_priority: Whether all other requests go first. Its pairs may still fill up the batches of others.
            first_stage: First-stage ranking to blend the scores with. Ignored if the student has no `Blend`.
            needs_calibration: Whether the scores must be calibrated.

        Raises:
            NotCalibratedError: The scores must be calibrated, and the model's are not.
            TooLongError: A document exceeds the model's maximum length and truncation is disabled.
        """
        served = self._models.of(role)
        if needs_calibration and not served.scorer.is_calibrated:
            raise NotCalibratedError(
                f"the scores of version {served.version} are not calibrated; leave min_score out, or promote a student "
                "that was trained with training.calibrate"
            )

        async def compute(texts: TextsToTokenize) -> ComputedScores:
            return await self._compute(served.scorer, texts, caller, low_priority)

        self._cache.retain(self._models.versions().values())
        result = await self._cache.scores(served.version, texts, caller, low_priority, compute)
        counts = (len(result.scores), result.computed_tokens)
        self._metrics.record_request(served.version, role, *counts, result.queued, result.scored)
        scores, blend = _blend(served.scorer.blend, result.scores, first_stage)
        tokens = sum(result.tokens)
        return ScoredRequest(scores, served.version, tokens, result.queued, result.scored, blend, result.scores)

    async def _compute(self, scorer: Scorer, texts: TextsToTokenize, caller: str, low_priority: bool) -> ComputedScores:
        """Tokenize and score documents without the cache of scores."""
        tokenized = await asyncio.wrap_future(self._tokenizers.submit(scorer, texts, caller))
        result = await asyncio.wrap_future(self._batcher.submit(scorer, tokenized.rows, caller, low_priority))
        scores, tokens = result.scores, [row.tokens for row in tokenized.rows]
        if tokenized.spans:
            scores = [best.score for best in best_passages(scores, tokenized.spans)]
            passages = iter(tokens)
            tokens = [sum(islice(passages, len(spans))) for spans in tokenized.spans]
        return ComputedScores(scores, tokens, result.queued, result.scored, sum(tokens))

    def is_calibrated(self, role: Role) -> bool:
        """Return whether the scores of a role's model are calibrated."""
        return self._models.of(role).scorer.is_calibrated

    @property
    def splits_documents(self) -> bool:
        """Whether a loaded version reads passages."""
        return any(self._models.of(role).scorer.passages is not None for role in self._models.versions())

    def pairs_to_score(self, texts: TextsToTokenize) -> int:
        """Return the number of documents or, for versions with passages, an estimate of the number of passages.

        The estimate needs no tokenizer, so a request that is too large is rejected before any work.
        """
        if not self.splits_documents:
            return len(texts.documents)
        settings = [self._models.of(role).scorer.passages for role in self._models.versions()]
        return max(
            sum(estimated_passages(document, passages, texts.max_passages_per_doc) for document in texts.documents)
            for passages in settings
            if passages is not None
        )

    def versions(self) -> dict[Role, str]:
        """Return the loaded version of each role."""
        return self._models.versions()

    @property
    def challenger_is_champion(self) -> bool:
        """Whether the challenger was promoted to champion."""
        return self._models.challenger_is_champion

    async def matches(self, query: str, documents: list[str]) -> list[list[str]]:
        """Return the words of each document that match the query, as found by Token Selection (`matched_words`)."""
        return await asyncio.to_thread(self._matches, self._models.of("champion").scorer, query, documents)

    def _matches(self, scorer: Scorer, query: str, documents: list[str]) -> list[list[str]]:
        with self._tokenizers.lock:
            return matched_words(scorer.tokenizer, query, documents, scorer.language)


def _blend(blend: Blend | None, scores: list[float], first_stage: FirstStage | None) -> tuple[list[float], str | None]:
    """Blend the student's scores with the first stage's scores, or with its ranks if the request has no such scores.

    Returns:
        The blended scores and a description of the blend. If the request has no first-stage ranking, or the student has
        no weight for it, the unchanged scores and None.
    """
    if blend is None or first_stage is None:
        return scores, None
    if first_stage.scores is not None:
        return blend.apply(scores, first_stage.scores), str(blend)
    if "ranks" not in blend.weights:
        return scores, None
    return blend.apply_order(scores), f"ranks, w = {blend.weights['ranks']:g}"
