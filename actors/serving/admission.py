"""Limit the requests in progress, and compute how long a rejected client should wait before it retries."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.serving.settings import LimitSettings

_MAX_RETRY_SECONDS = 30
_SMOOTHING = 0.1


class TooManyRequestsError(Exception):
    """A request exceeds a limit. `retry_after` is the number of seconds to wait before a retry."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Admission:
    """Counts the requests and documents in progress in one ingress replica, and rejects requests above the limits."""

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self.documents = 0
        self.requests: Counter[str] = Counter()
        self._documents_per_second = 100.0

    @contextmanager
    def admitted(self, caller: str, documents: int) -> Iterator[None]:
        """Count a request as in progress while the context is open.

        Args:
            caller: Name of the caller.
            documents: Number of documents in the request.

        Raises:
            TooManyRequestsError: The request exceeds a limit.
        """
        max_requests, max_documents = self.limits.max_requests_per_key, self.limits.max_waiting_documents
        if self.requests[caller] >= max_requests:
            raise TooManyRequestsError(
                f"{self.requests[caller]} requests with this key are in progress, the limit is {max_requests}", 1
            )
        if self.documents and self.documents + documents > max_documents:
            raise TooManyRequestsError(
                f"{self.documents:,} documents are in progress, {documents:,} more would exceed the limit of "
                f"{max_documents:,}",
                self.estimate_seconds(self.documents),
            )
        self.requests[caller] += 1
        self.documents += documents
        in_progress, started = self.documents, time.monotonic()
        try:
            yield
            if documents:  # a request without documents does not wait and says nothing about the throughput
                self._update_throughput(in_progress, time.monotonic() - started)
        finally:
            self.documents -= documents
            self.requests[caller] -= 1
            if not self.requests[caller]:
                del self.requests[caller]

    def estimate_seconds(self, documents: int) -> int:
        """Estimate the time to score a number of documents, in whole seconds from 1 to 30."""
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(documents / self._documents_per_second)))

    def _update_throughput(self, documents: int, seconds: float) -> None:
        if documents and seconds > 0:
            self._documents_per_second += _SMOOTHING * (documents / seconds - self._documents_per_second)
