"""Who is let in: requests under way are counted, and one too many is sent away with a time to come back."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.serving.settings import LimitSettings

_LONGEST = 30
_SMOOTHING = 0.1


class TooManyError(Exception):
    """A request that is one too many. after: seconds until another try is worth it."""

    def __init__(self, message: str, after: int) -> None:
        super().__init__(message)
        self.after = after


class Admission:
    """Counts what is under way in one ingress replica."""

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self.documents = 0
        self.requests: Counter[str] = Counter()
        self._documents_per_second = 100.0

    @contextmanager
    def admitted(self, caller: str, documents: int) -> Iterator[None]:
        """Let a request in for as long as it takes. Raises TooManyError."""
        if self.requests[caller] >= self.limits.max_requests_per_key:
            raise TooManyError(
                f"{self.requests[caller]} requests of this key are under way; {self.limits.max_requests_per_key} may be",
                1,
            )
        if self.documents and self.documents + documents > self.limits.max_waiting_documents:
            message = f"{self.documents:,} documents are under way; with {documents:,} more there would be over {self.limits.max_waiting_documents:,}"
            raise TooManyError(message, self.seconds_of(self.documents))
        self.requests[caller] += 1
        self.documents += documents
        ahead, began = self.documents, time.monotonic()
        try:
            yield
            if documents:  # else nothing was waited for
                self._learn(ahead, time.monotonic() - began)
        finally:
            self.documents -= documents
            self.requests[caller] -= 1
            if not self.requests[caller]:
                del self.requests[caller]

    def seconds_of(self, documents: int) -> int:
        """How long so many documents will take, in whole seconds."""
        return min(_LONGEST, max(1, math.ceil(documents / self._documents_per_second)))

    def _learn(self, documents: int, seconds: float) -> None:
        if documents and seconds > 0:
            self._documents_per_second += _SMOOTHING * (documents / seconds - self._documents_per_second)
