"""Which labelled queries validate a training instead of teaching it.

The choice depends on the query id alone: it is known before labelling, where a validation query gets its whole candidate list
labelled, and does not change when another query is rejected.
"""

from __future__ import annotations

import hashlib


def is_validation(query_id: str, fraction: float, seed: int) -> bool:
    """Whether a query validates. fraction: expected share of such queries, 0 to 1. seed: `queries.seed` of the run."""
    digest = hashlib.sha256(f"{seed} {query_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
