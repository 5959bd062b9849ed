"""What a teacher shows in the Ray dashboard and to Prometheus, as `ray_rradistill_label_*`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Gauge, Histogram

from actors.data.rows import Outcome
from actors.settings import ComputeSettings
from ranking.records import Label

_SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]
_REASON_WORDS = 4


class LabellingMetrics:
    """Counts of one teacher actor; Prometheus adds them up over actors."""

    def __init__(self, model: str, compute: ComputeSettings) -> None:
        tags = {"teacher": model}

        def counter(name: str, description: str, *keys: str) -> Counter:
            made = Counter(f"rradistill_label_{name}", description, tag_keys=("teacher", *keys))
            made.set_default_tags(tags)
            return made

        self._queries = counter("queries", "Queries labelled.", "parse_status")
        self._rejected = counter("rejected", "Queries rejected, by the reason's first words.", "reason")
        self._prompt_tokens = counter("prompt_tokens", "Tokens that the teacher read.")
        self._completion_tokens = counter("completion_tokens", "Tokens that the teacher wrote.")
        self._cost = counter(
            "cost", "Money spent on this teacher's machine since the engine was ready, by compute.engine_hour_price."
        )
        self._seconds = Histogram(
            "rradistill_label_seconds", "Seconds per query.", boundaries=_SECONDS, tag_keys=("teacher",)
        )
        self._under_way = Gauge("rradistill_label_under_way", "Queries under way.", tag_keys=("teacher",))
        for metric in (self._seconds, self._under_way):
            metric.set_default_tags(tags)
        self._price_per_second = (compute.engine_hour_price or 0.0) / 3600
        self._paid_until = time.monotonic()
        self._lists = 0

    @contextmanager
    def list_under_way(self) -> Iterator[None]:
        """Time a query."""
        began = time.monotonic()
        self._lists += 1
        self._under_way.set(self._lists)
        try:
            yield
        finally:
            self._lists -= 1
            self._under_way.set(self._lists)
            self._seconds.observe(time.monotonic() - began)

    def count(self, outcome: Outcome) -> None:
        """Count what came of a query, and what it cost."""
        if outcome.rejection is not None:
            self._rejected.inc(tags={"reason": " ".join(outcome.rejection.reason.split()[:_REASON_WORDS])})
        else:
            self._queries.inc(tags={"parse_status": Label.model_validate_json(outcome.row or "").answer.parse_status})
        for counter, tokens in (
            (self._prompt_tokens, outcome.tokens.prompt),
            (self._completion_tokens, outcome.tokens.completion),
        ):
            if tokens:
                counter.inc(tokens)
        now = time.monotonic()
        if self._price_per_second and now > self._paid_until:
            self._cost.inc(self._price_per_second * (now - self._paid_until))
            self._paid_until = now
