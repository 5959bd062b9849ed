"""Waits between attempts and rates of requests, compared with values computed by hand."""

import random

import pytest

from actors.hosted.rate_limiter import RateLimiter
from actors.hosted.retry_delays import backoff, retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_has_seconds_or_a_date(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_backoff_doubles_up_to_a_minute_with_jitter():
    generator = random.Random(1)
    for attempt, longest in ((1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (5000, 60.0)):
        waits = [backoff(attempt, generator) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
        assert len(set(waits)) == 200


def test_requests_are_spread_evenly_after_a_burst():
    now = [100.0]
    limiter = RateLimiter(60, lambda: now[0])
    assert [limiter.book(1) for _ in range(5)] == [0, 0, 0, 1, 2]  # one per second, bursts of two seconds
    now[0] = 110.0
    assert [limiter.book(1), limiter.book(10), limiter.book(1)] == [0, 0, 9]
