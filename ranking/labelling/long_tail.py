"""Long-tail selection: which queries of the log the teacher labels.

RRADistill samples long-tail queries by length, complexity of phrasing and rarity. This first form
takes rarity (frequency in the log) and length (words).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ranking.records import Query, Rejection
from ranking.settings import QuerySettings

STAGE = "queries"


def select(log: Sequence[Query], settings: QuerySettings) -> tuple[list[Query], list[Rejection]]:
    """Divide a log into the queries to label and the others, each with its reason, both in the log's order."""
    chosen, left = [], []
    for query in log:
        reason = why_not(query, settings)
        if reason is None:
            chosen.append(query)
        else:
            left.append(Rejection(query_id=query.query_id, stage=STAGE, reason=reason))
    if settings.sample is not None and settings.sample < len(chosen):
        kept = {query.query_id for query in random.Random(settings.seed).sample(chosen, settings.sample)}
        left += [Rejection(query_id=query.query_id, stage=STAGE, reason="not sampled") for query in chosen if query.query_id not in kept]
        chosen = [query for query in chosen if query.query_id in kept]
    return chosen, left


def why_not(query: Query, settings: QuerySettings) -> str | None:
    """Say why a query is not long-tail; None where it is."""
    terms = len(query.text.split())
    if query.frequency > settings.long_tail.max_frequency:
        return f"frequency {query.frequency} is above {settings.long_tail.max_frequency}"
    if terms < settings.long_tail.min_terms:
        return f"{terms} terms are fewer than {settings.long_tail.min_terms}"
    return None
