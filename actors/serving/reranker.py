"""What scores in a replica: models, a tokenizer's thread, and a thread for batches across requests."""

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
    """The result of a request.

    scores: raw or blended, in the order of the documents. tokens: read by the model. queued, scored: seconds. blend: how scores were
    blended with the first stage, such as "ranks, w = 0.7"; None for the student's alone.
    """

    scores: list[float]
    version: str
    tokens: int
    queued: float
    scored: float
    blend: str | None = None


class TooLongError(Exception):
    """A document that was to be read whole has too many tokens."""


class Reranker:
    """Holds the champion, and a challenger where there is one; scores documents, those of many requests together."""

    def __init__(self, storage: Folder, challenger: str | None, every: float, threads: int) -> None:
        torch.set_num_threads(threads)
        self._metrics = ScorerMetrics()
        self._models = LoadedModels(storage, challenger, every, self._metrics.loaded)
        self._batcher = TokenBatcher(self._metrics.chunk, threads)
        self._tokenizing = ThreadPoolExecutor(1, "tokens")  # one thread: a tokenizer serves one at a time

    async def score(
        self,
        query: str,
        documents: list[str],
        cut: int | None = None,
        whole: bool = False,
        role: Role = "champion",
        spare: bool = False,
        first_stage: FirstStage | None = None,
    ) -> ScoredRequest:
        """Score documents for a query. cut: tokens of a document that are read at most; None for all that fit.

        whole: raise TooLongError where a document does not fit. spare: only in time that nobody else wants. first_stage: ranking to
        blend with, if the student has a blend.
        """
        served = self._models.of(role)
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._tokenizing, _read, served.scorer, query, documents, cut, whole)
        batched = await asyncio.wrap_future(self._batcher.submit(served.scorer, rows, spare))
        tokens = sum(row.tokens for row in rows)
        self._metrics.scored(served.version, role, tokens, batched)
        scores, blend = _blended(served.scorer.blend, batched.scores, first_stage)
        return ScoredRequest(scores, served.version, tokens, batched.queued, batched.scored, blend)

    def versions(self) -> dict[Role, str]:
        """The versions that this replica holds."""
        return self._models.versions()

    @property
    def are_one(self) -> bool:
        """Whether the challenger has become the champion."""
        return self._models.are_one

    async def matches(self, query: str, documents: list[str]) -> list[list[str]]:
        """The words of each document that Token Selection picks: those that the query holds too."""
        scorer = self._models.of("champion").scorer
        return await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, matched_words, scorer.tokenizer, query, documents
        )


def _blended(
    blend: Blend | None, scores: list[float], first_stage: FirstStage | None
) -> tuple[list[float], str | None]:
    """Blend scores with the first stage; returns them and how. Unchanged, with None, if the student has no such blend."""
    if blend is None or first_stage is None:
        return scores, None
    if first_stage.scores is not None:
        return blend.apply(scores, first_stage.scores), str(blend)
    if "ranks" not in blend.weights:
        return scores, None
    return blend.apply_order(scores), f"ranks, w = {blend.weights['ranks']:g}"


def _read(scorer: Scorer, query: str, documents: list[str], cut: int | None, whole: bool) -> list[TokenizedPair]:
    if cut is not None:
        documents = [scorer.cut(document, cut) for document in documents]
    rows = scorer.tokenized([(query, document) for document in documents])
    if whole:
        for i, row in enumerate(rows):
            if row.tokens == scorer.max_length and scorer.is_cut((query, documents[i])):
                raise TooLongError(
                    f"texts[{i}] and the query have more than {scorer.max_length} tokens; truncate: true cuts them"
                )
    return rows
