"""The caches of a replica as the re-ranker uses them. A cache of size 0 does not exist."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from actors.serving.caches.bounded_cache import CacheSize
from actors.serving.caches.document_tokens import DocumentTokens
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.score_cache import Compute, ComputedScores, ScoreCache
from actors.serving.scoring.tokenizing import TextsToTokenize
from actors.serving.serving_settings import CacheSettings
from students.scoring import Scorer

_MIB = 2**20
_log = logging.getLogger("ray.serve")


class LookupMetrics(Protocol):
    """Interface of the metrics of one cache."""

    def record_lookups(self, lookups: Lookups, size: CacheSize) -> None:
        """Record the lookups of a request, and the size of the cache."""


class ReplicaCaches:
    """The cache of scores and the cache of document tokens."""

    def __init__(self, settings: CacheSettings, metrics_of: Callable[[str], LookupMetrics]) -> None:
        """Create the caches that have a size.

        Args:
            settings: Sizes of the caches.
            metrics_of: Returns the metrics of a cache with this name.
        """
        self._scores: ScoreCache | None = None
        self._documents: DocumentTokens | None = None
        if settings.scores_mb:
            for_scores = metrics_of("scores")
            scores = self._scores = ScoreCache(
                settings.scores_mb * _MIB,
                settings.shared_between_keys,
                lambda lookups: for_scores.record_lookups(lookups, scores.entries.size),
            )
        if settings.documents_mb:
            for_documents = metrics_of("documents")
            documents = self._documents = DocumentTokens(
                settings.documents_mb * _MIB,
                lambda lookups: for_documents.record_lookups(lookups, documents.entries.size),
            )

    def prepare(self, scorer: Scorer) -> None:
        """Let a new model use the cache of document tokens. Called before the model is served."""
        if self._documents is not None and not self._documents.attach(scorer):
            _log.warning(
                "serving.cache.documents_mb has no effect: pairs of this tokenizer cannot be assembled from separately "
                "tokenized texts"
            )

    def retain(self, versions: Iterable[str]) -> None:
        """Drop the scores of all versions except the loaded ones."""
        if self._scores is not None:
            self._scores.retain(frozenset(versions))

    async def scores(
        self, version: str, texts: TextsToTokenize, caller: str, low_priority: bool, compute: Compute
    ) -> ComputedScores:
        """Return the scores of a request, from the cache if there is one. See `ScoreCache.scores`."""
        if self._scores is None:
            return await compute(texts)
        return await self._scores.scores(version, texts, caller, low_priority, compute)
