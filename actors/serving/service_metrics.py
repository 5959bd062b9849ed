"""What the service shows in the Ray dashboard and to Prometheus, as `ray_rradistill_serve_*`."""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

from actors.serving.batching import Batched, Chunk

_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0]
_FILL = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


class ScorerMetrics:
    """Of one scorer replica."""

    def __init__(self) -> None:
        self._documents = Counter("rradistill_serve_documents", "Documents scored.", tag_keys=("version", "arm"))
        self._tokens = Counter(
            "rradistill_serve_tokens", "Tokens scored, without padding.", tag_keys=("version", "arm")
        )
        self._queue = Histogram(
            "rradistill_serve_queue_seconds", "Seconds before a request's first chunk.", _SECONDS, ("version", "arm")
        )
        self._score = Histogram(
            "rradistill_serve_score_seconds",
            "Seconds from a request's first chunk to its last.",
            _SECONDS,
            ("version", "arm"),
        )
        self._fill = Histogram(
            "rradistill_serve_batch_fill", "Tokens of a chunk, by those that would have fitted.", _FILL, ()
        )
        self._padding = Histogram("rradistill_serve_batch_padding", "Share of a chunk that is padding.", _FILL, ())
        self._loaded = Counter("rradistill_serve_loaded", "Versions that were loaded.", tag_keys=("version", "outcome"))

    def scored(self, version: str, arm: str, tokens: int, batched: Batched) -> None:
        """Count a request."""
        tags = {"version": version, "arm": arm}
        self._documents.inc(len(batched.scores) or 1e-9, tags)
        self._tokens.inc(tokens or 1e-9, tags)
        self._queue.observe(batched.queued, tags)
        self._score.observe(batched.scored, tags)

    def chunk(self, chunk: Chunk) -> None:
        """Count what went through the model at once."""
        self._fill.observe(min(1.0, chunk.padded / chunk.budget))
        self._padding.observe(1 - chunk.tokens / chunk.padded)

    def loaded(self, version: str, error: Exception | None) -> None:
        """Count a version that was loaded, or was not."""
        self._loaded.inc(1, {"version": version, "outcome": "failed" if error else "loaded"})


class IngressMetrics:
    """Of one ingress replica."""

    def __init__(self) -> None:
        self._requests = Counter(
            "rradistill_serve_requests", "Requests, by route and status.", tag_keys=("route", "status")
        )
        self._seconds = Histogram("rradistill_serve_request_seconds", "Seconds of a request.", _SECONDS, ("route",))
        self._under_way = Gauge("rradistill_serve_documents_under_way", "Documents under way.")
        self._arms = Counter(
            "rradistill_serve_exposures", "Answers within an experiment.", tag_keys=("experiment", "arm", "version")
        )
        self._shadow = Counter(
            "rradistill_serve_shadow", "Requests that the challenger scored afterwards.", tag_keys=("outcome",)
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.inc(1, {"route": route, "status": str(status)})
        self._seconds.observe(seconds, {"route": route})

    def under_way(self, documents: int) -> None:
        """Show how many documents are under way."""
        self._under_way.set(documents)

    def exposed(self, experiment: str, arm: str, version: str) -> None:
        """Count an answer of an experiment."""
        self._arms.inc(1, {"experiment": experiment, "arm": arm, "version": version})

    def shadowed(self, outcome: str) -> None:
        """Count a shadow request: `scored`, `failed` or `dropped`."""
        self._shadow.inc(1, {"outcome": outcome})
