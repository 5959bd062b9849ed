"""Outcomes of looking something up in a cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lookups:
    """Number of pairs or documents by outcome.

    Attributes:
        hit: Found in the cache.
        miss: Computed.
        shared: Computed by a concurrent request.
    """

    hit: int = 0
    miss: int = 0
    shared: int = 0
