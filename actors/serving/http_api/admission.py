"""Limit the requests in progress, and compute how long a rejected client should wait before it retries."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.serving.serving_settings import LimitSettings

_MAX_RETRY_SECONDS = 30
_SMOOTHING = 0.1


class TooManyRequestsError(Exception):
    """A request exceeds a limit. `retry_after` is the number of seconds to wait before a retry."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Admission:
    """Counts the requests and documents in progress in one ingress replica, and rejects requests above the limits.

    With several keys, a key may have documents in progress up to its fair share, `max_waiting_documents` divided by the
    number of keys with requests in progress, even if other keys occupy the rest. No key gets more than
    `max_share_per_key`. With k keys, at most `max_waiting_documents` * (1 + 1/2 + ... + 1/k) documents are in progress.
    """

    def __init__(self, limits: LimitSettings, several_keys: bool = False) -> None:
        """Start with nothing in progress.

        Args:
            limits: The limits.
            several_keys: Whether callers have keys. Otherwise all callers share everything.
        """
        self.limits, self._several_keys = limits, several_keys
        self.requests: Counter[str] = Counter()
        self._documents: Counter[str] = Counter()
        self._seconds_per_document = 0.01

    @property
    def documents(self) -> int:
        """Number of documents in progress."""
        return self._documents.total()

    @contextmanager
    def admit(self, caller: str, documents: int) -> Iterator[None]:
        """Count a request as in progress while the context is open.

        Args:
            caller: Name of the caller.
            documents: Number of documents in the request.

        Raises:
            TooManyRequestsError: The request exceeds a limit.
        """
        max_requests = self.limits.max_requests_per_key
        if self.requests[caller] >= max_requests:
            raise TooManyRequestsError(
                f"{self.requests[caller]} requests with this key are in progress, the limit is {max_requests}", 1
            )
        if documents:
            self._check_documents(caller, documents)
        self.requests[caller] += 1
        self._documents[caller] += documents
        in_progress, started = self.documents, time.monotonic()
        try:
            yield
            if documents:  # a request without documents does not wait and says nothing about the throughput
                self._update_throughput(in_progress, time.monotonic() - started)
        finally:
            self._documents[caller] -= documents
            self.requests[caller] -= 1
            if not self.requests[caller]:
                del self.requests[caller], self._documents[caller]

    def estimate_seconds(self, documents: int) -> int:
        """Estimate the time to score a number of documents, in whole seconds from 1 to 30."""
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(documents * self._seconds_per_document)))

    def _check_documents(self, caller: str, documents: int) -> None:
        limit, own, total = self.limits.max_waiting_documents, self._documents[caller], self.documents
        callers = len({caller, *(name for name, count in self._documents.items() if count)})
        if self._several_keys and own and own + documents > limit * self.limits.max_share_per_key:
            raise TooManyRequestsError(
                f"{own:,} documents of this key are in progress, {documents:,} more would exceed its share of "
                f"{int(limit * self.limits.max_share_per_key):,}",
                self.estimate_seconds(own),
            )
        within_fair_share = self._several_keys and own + documents <= limit / callers
        if total and total + documents > limit and not within_fair_share:
            raise TooManyRequestsError(
                f"{total:,} documents are in progress, {documents:,} more would exceed the limit of {limit:,}",
                self.estimate_seconds(total),
            )

    def _update_throughput(self, documents: int, seconds: float) -> None:
        """Average the seconds per document. Documents per second would be dominated by requests with cached scores."""
        self._seconds_per_document += _SMOOTHING * (seconds / documents - self._seconds_per_document)
