"""Check the frequencies of queries in a query log or collection."""

from __future__ import annotations

from typing import Any

MAX_FREQUENCY = 10**12
"""Highest frequency of a query. The sum of all frequencies must fit into 64 bits."""

_SHOWN_CHARACTERS = 40


def frequency_error(value: Any) -> str | None:
    """Describe what is wrong with a frequency; None if it is an integer from 1 to `MAX_FREQUENCY`."""
    text = repr(value)
    text = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return f"must be an integer of at least 1, not {text}"
    return f"must be at most {MAX_FREQUENCY:,}, not {text}" if value > MAX_FREQUENCY else None
