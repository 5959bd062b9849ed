"""Limit the rate of requests, or of tokens, of one worker."""

from __future__ import annotations

import time
from collections.abc import Callable

_BURST_SECONDS = 2.0


class RateLimiter:
    """Spreads an amount per minute evenly, except for bursts of two seconds (generic cell rate algorithm).

    Args:
        per_minute: Requests or tokens per minute.
        clock: Returns the current time in seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_each = 60.0 / per_minute
        self._clock = clock
        self._free_at = clock()

    def book(self, amount: float) -> float:
        """Book an amount. Returns the seconds to wait before it may be used."""
        now = self._clock()
        wait = max(0.0, self._free_at - _BURST_SECONDS - now)
        self._free_at = max(self._free_at, now) + amount * self._seconds_each
        return wait
