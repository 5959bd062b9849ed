"""Metrics of the service for Prometheus and the Ray dashboard, named `ray_rradistill_serve_*`."""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

from actors.serving.caches.bounded_cache import CacheSize
from actors.serving.caches.lookups import Lookups
from actors.serving.scoring.batching import Chunk

_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0]
_FILL = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


class ScorerMetrics:
    """Metrics of scoring in one replica."""

    def __init__(self) -> None:
        self._documents = Counter(
            "rradistill_serve_documents", "Documents ranked, cached ones included.", tag_keys=("version", "arm")
        )
        self._tokens = Counter(
            "rradistill_serve_tokens", "Tokens scored, without padding.", tag_keys=("version", "arm")
        )
        self._queue = Histogram(
            "rradistill_serve_queue_seconds",
            "Seconds from a request's arrival to its first chunk.",
            _SECONDS,
            ("version", "arm"),
        )
        self._score = Histogram(
            "rradistill_serve_score_seconds",
            "Seconds from a request's first chunk to its last.",
            _SECONDS,
            ("version", "arm"),
        )
        self._fill = Histogram(
            "rradistill_serve_batch_fill", "Tokens of a chunk with padding, divided by the token budget.", _FILL, ()
        )
        self._padding = Histogram("rradistill_serve_batch_padding", "Share of padding in a chunk's tokens.", _FILL, ())
        self._loaded = Counter(
            "rradistill_serve_loaded", "Attempts to load a version, by outcome.", tag_keys=("version", "outcome")
        )

    def record_request(self, version: str, arm: str, documents: int, tokens: int, queued: float, scored: float) -> None:
        """Record a scored request.

        Args:
            version: Version of the model.
            arm: Role of the model.
            documents: Documents of the request, cached ones included.
            tokens: Tokens that the model read for it.
            queued: Seconds from its arrival to its first chunk.
            scored: Seconds from its first chunk to its last.
        """
        tags = {"version": version, "arm": arm}
        self._documents.inc(documents or 1e-9, tags)
        self._tokens.inc(tokens or 1e-9, tags)
        self._queue.observe(queued, tags)
        self._score.observe(scored, tags)

    def record_chunk(self, chunk: Chunk) -> None:
        """Record a scored chunk."""
        self._fill.observe(min(1.0, chunk.padded / chunk.budget))
        self._padding.observe(1 - chunk.tokens / chunk.padded)

    def record_load(self, version: str, error: Exception | None) -> None:
        """Record an attempt to load a version."""
        self._loaded.inc(1, {"version": version, "outcome": "failed" if error else "loaded"})


class CacheMetrics:
    """Metrics of one cache of a replica. `cache` is `scores` or `documents`."""

    def __init__(self, cache: str) -> None:
        self._lookups = Counter(
            "rradistill_serve_cache_lookups",
            "Pairs or documents that were looked up in a cache, by outcome.",
            tag_keys=("cache", "outcome"),
        )
        self._evictions = Counter(
            "rradistill_serve_cache_evictions", "Entries that were removed from a cache.", tag_keys=("cache",)
        )
        self._bytes = Gauge("rradistill_serve_cache_bytes", "Size of a cache in bytes.", tag_keys=("cache",))
        self._cache, self._counted_evictions = cache, 0

    def record_lookups(self, lookups: Lookups, size: CacheSize) -> None:
        """Record the lookups of a request, and the size of the cache."""
        for outcome, count in (("hit", lookups.hit), ("miss", lookups.miss), ("shared", lookups.shared)):
            self._lookups.inc(count or 1e-9, {"cache": self._cache, "outcome": outcome})
        self._evictions.inc(size.evictions - self._counted_evictions or 1e-9, {"cache": self._cache})
        self._counted_evictions = size.evictions
        self._bytes.set(size.bytes, {"cache": self._cache})


class IngressMetrics:
    """Metrics of the requests and experiments of one ingress replica."""

    def __init__(self) -> None:
        self._requests = Counter(
            "rradistill_serve_requests", "Requests, by route and status.", tag_keys=("route", "status")
        )
        self._seconds = Histogram("rradistill_serve_request_seconds", "Seconds per request.", _SECONDS, ("route",))
        self._in_progress = Gauge("rradistill_serve_documents_in_progress", "Documents in progress.")
        self._exposures = Counter(
            "rradistill_serve_exposures",
            "Rankings shown in an experiment.",
            tag_keys=("experiment", "arm", "version"),
        )
        self._shadow = Counter(
            "rradistill_serve_shadow", "Shadow requests to the challenger, by outcome.", tag_keys=("outcome",)
        )

        self._key_age = Gauge("rradistill_serve_keys_age_seconds", "Seconds since the API keys were last read.")
        self._bad_key_lines = Gauge("rradistill_serve_keys_bad_lines", "Lines of the key file that were skipped.")
        self._skipped_rows = Counter(
            "rradistill_serve_skipped_rows", "Rows of event journals that could not be read and were set aside."
        )
        self._lost_exposures = Counter(
            "rradistill_serve_lost_exposures", "Exposures that could not be written to the event journal."
        )

    def record_response(self, route: str, status: int, seconds: float) -> None:
        """Record a response."""
        self._requests.inc(1, {"route": route, "status": str(status)})
        self._seconds.observe(seconds, {"route": route})

    def set_in_progress(self, documents: int) -> None:
        """Set the number of documents in progress."""
        self._in_progress.set(documents)

    def record_exposure(self, experiment: str, arm: str, version: str) -> None:
        """Record a ranking that was shown in an experiment."""
        self._exposures.inc(1, {"experiment": experiment, "arm": arm, "version": version})

    def record_shadow(self, outcome: str) -> None:
        """Record a shadow request. The outcome is `scored`, `failed` or `dropped`."""
        self._shadow.inc(1, {"outcome": outcome})

    def record_key_refresh(self, age: float, bad_lines: int) -> None:
        """Record the seconds since the API keys were last read, and the number of lines that were skipped."""
        self._key_age.set(age)
        self._bad_key_lines.set(bad_lines)

    def record_skipped_rows(self, count: int) -> None:
        """Record rows of an event journal that could not be read."""
        self._skipped_rows.inc(count)

    def record_lost_exposure(self) -> None:
        """Record an exposure that could not be written to the event journal."""
        self._lost_exposures.inc(1)
