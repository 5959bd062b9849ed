"""Score requests in a replica: tokenize in one thread, and score batches with pairs of several requests in others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from actors.serving.batching import TokenBatcher
from actors.serving.loaded_models import LoadedModels, Role
from actors.serving.schemas import FirstStage
from actors.serving.service_metrics import ScorerMetrics
from ranking.blending import Blend
from ranking.storage.folder import Folder
from students.token_selection import matched_words

if TYPE_CHECKING:
    from students.scoring import Scorer, TokenizedPair


@dataclass(frozen=True)
class ScoredRequest:
    """The scores of one request.

    Attributes:
        scores: Raw or blended scores, in document order.
        version: Version of the model.
        tokens: Tokens that the model read, without padding.
        queued: Seconds from the request's arrival to the start of its first chunk (batch of pairs).
        scored: Seconds from the start of its first chunk to the end of its last chunk.
        blend: How scores were blended with the first stage, such as "ranks, w = 0.7". None if they were not blended.
    """

    scores: list[float]
    version: str
    tokens: int
    queued: float
    scored: float
    blend: str | None = None


class TooLongError(Exception):
    """A document exceeds the model's maximum length and the request forbids truncation."""


class Reranker:
    """Scores documents with the champion or the challenger. Pairs of concurrent requests share batches."""

    def __init__(self, storage: Folder, challenger: str | None, poll_seconds: float, threads: int) -> None:
        """Load the models and start the threads.

        Args:
            storage: Storage root that contains the registry.
            challenger: Version to serve next to the champion, if any.
            poll_seconds: Seconds between reads of the registry.
            threads: Number of PyTorch threads, and maximum number of batches that are scored at the same time.
        """
        torch.set_num_threads(threads)
        self._metrics = ScorerMetrics()
        self._models = LoadedModels(storage, challenger, poll_seconds, self._metrics.loaded)
        self._batcher = TokenBatcher(self._metrics.chunk, threads)
        self._tokenizer_pool = ThreadPoolExecutor(1, "tokens")  # one thread: tokenizers are not thread-safe

    async def score(
        self,
        query: str,
        documents: list[str],
        max_tokens_per_doc: int | None = None,
        truncate: bool = True,
        role: Role = "champion",
        low_priority: bool = False,
        first_stage: FirstStage | None = None,
    ) -> ScoredRequest:
        """Score documents for a query.

        Args:
            query: Text of the query.
            documents: Texts of the documents.
            max_tokens_per_doc: Maximum number of tokens of each document. None for the model's limit only.
            truncate: Whether to truncate documents that exceed the model's maximum length.
            role: Model to score with.
            low_priority: Whether all other requests go first. Its pairs may still fill up the batches of others.
            first_stage: First-stage ranking to blend the scores with. Ignored if the student has no `Blend`.

        Raises:
            TooLongError: A document exceeds the model's maximum length and `truncate` is False.
        """
        served = self._models.of(role)
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(
            self._tokenizer_pool, _tokenize, served.scorer, query, documents, max_tokens_per_doc, truncate
        )
        result = await asyncio.wrap_future(self._batcher.submit(served.scorer, rows, low_priority))
        tokens = sum(row.tokens for row in rows)
        self._metrics.scored(served.version, role, tokens, result)
        scores, blend = _blended(served.scorer.blend, result.scores, first_stage)
        return ScoredRequest(scores, served.version, tokens, result.queued, result.scored, blend)

    def versions(self) -> dict[Role, str]:
        """Return the loaded version of each role."""
        return self._models.versions()

    @property
    def challenger_is_champion(self) -> bool:
        """Whether the challenger was promoted to champion."""
        return self._models.challenger_is_champion

    async def matches(self, query: str, documents: list[str]) -> list[list[str]]:
        """Return the words of each document that match the query, as found by Token Selection (`matched_words`)."""
        scorer = self._models.of("champion").scorer
        return await asyncio.get_running_loop().run_in_executor(
            self._tokenizer_pool, matched_words, scorer.tokenizer, query, documents
        )


def _blended(
    blend: Blend | None, scores: list[float], first_stage: FirstStage | None
) -> tuple[list[float], str | None]:
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


def _tokenize(
    scorer: Scorer, query: str, documents: list[str], max_tokens_per_doc: int | None, truncate: bool
) -> list[TokenizedPair]:
    if max_tokens_per_doc is not None:
        documents = [scorer.cut(document, max_tokens_per_doc) for document in documents]
    rows = scorer.tokenized([(query, document) for document in documents])
    if not truncate:
        for i, row in enumerate(rows):
            if row.tokens == scorer.max_length and scorer.is_cut((query, documents[i])):
                raise TooLongError(
                    f"texts[{i}] and the query have more than {scorer.max_length} tokens; set truncate to true"
                )
    return rows
