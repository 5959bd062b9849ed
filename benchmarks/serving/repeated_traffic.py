"""Requests that repeat themselves: queries and documents whose popularity follows Zipf's law.

The item of rank r has a probability proportional to 1 / r^s, with r from 1. The exponent s is 0 for uniform traffic.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReplayRequest:
    """A request: number of the query, and numbers of its documents. Documents are the same for each repetition."""

    query: int
    documents: tuple[int, ...]


class ZipfSampler:
    """Draws ranks from 0 to `count` - 1, of which rank r has a probability proportional to 1 / (r + 1)^`exponent`."""

    def __init__(self, count: int, exponent: float) -> None:
        self._cumulated = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(count)))

    def draw(self, rng: random.Random) -> int:
        """Draw a rank."""
        return bisect.bisect(self._cumulated, rng.random() * self._cumulated[-1], hi=len(self._cumulated) - 1)

    def draw_distinct(self, rng: random.Random, count: int) -> tuple[int, ...]:
        """Draw distinct ranks, in the order in which they were drawn first."""
        drawn: dict[int, None] = {}
        while len(drawn) < count:
            drawn[self.draw(rng)] = None
        return tuple(drawn)


@dataclass(frozen=True)
class Traffic:
    """A distribution of requests.

    Attributes:
        exponent: Exponent of Zipf's law for queries and documents; 0 for uniform traffic.
        queries: Number of different queries.
        documents: Number of different documents.
        per_query: Documents per query.
    """

    exponent: float
    queries: int = 10_000
    documents: int = 50_000
    per_query: int = 50

    def requests(self, seed: int = 1) -> Iterator[ReplayRequest]:
        """Draw requests without end. The documents of a query depend on its number and the exponent only."""
        queries = ZipfSampler(self.queries, self.exponent)
        documents = ZipfSampler(self.documents, self.exponent)
        rng = random.Random(seed)
        while True:
            query = queries.draw(rng)
            own = random.Random(f"{self.exponent} {query}")
            yield ReplayRequest(query, documents.draw_distinct(own, self.per_query))


def hit_rate(keys: Iterable[Hashable], entries: int) -> float:
    """Return the share of keys that a cache of the most recently used `entries` contains when they are looked up."""
    cache: OrderedDict[Hashable, None] = OrderedDict()
    hits = total = 0
    for key in keys:
        total += 1
        hits += key in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > entries:
            cache.popitem(last=False)
    return hits / total if total else 0.0


def expected_hit_rates(requests: Sequence[ReplayRequest], pairs: int, documents: int) -> tuple[float, float]:
    """Return the hit rates of a cache of scores and of a cache of documents that start empty.

    Args:
        requests: The requests in order.
        pairs: Entries of the cache of scores.
        documents: Entries of the cache of documents. Its rate is that without a cache of scores.
    """
    scores = hit_rate(((request.query, doc) for request in requests for doc in request.documents), pairs)
    tokens = hit_rate((doc for request in requests for doc in request.documents), documents)
    return scores, tokens
