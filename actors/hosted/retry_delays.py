"""How long to wait before a request is sent again."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping

_FIRST_SECONDS = 1.0
_MAX_SECONDS = 60.0


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Read the seconds to wait from the headers of a response (RFC 9110, section 10.2.3).

    Reads `retry-after-ms`, which some servers send, and `Retry-After` with seconds or a date.

    Args:
        headers: Headers with lower-case names, or a mapping that ignores case.
        now: Seconds since the epoch; None for the current time.

    Returns:
        Seconds, 0 or more; None if there is no such header or it is malformed.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is not None and (seconds := _seconds(value)) is not None:
            return max(0.0, seconds * scale)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def backoff(attempt: int, generator: random.Random) -> float:
    """Draw the seconds to wait after a failed attempt: exponential with full jitter, but at least half of the maximum.

    Args:
        attempt: Number of the failed attempt, from 1. The maximum is 1 s after the first one and doubles up to 60 s.
        generator: Source of the jitter.
    """
    longest = min(_MAX_SECONDS, _FIRST_SECONDS * 2.0 ** min(attempt - 1, 16))
    return longest * (0.5 + 0.5 * generator.random())


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if seconds == seconds and abs(seconds) != float("inf") else None
