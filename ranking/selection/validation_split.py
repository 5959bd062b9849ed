"""Choose the labelled queries that are used for validation instead of training.

The choice depends only on the query id. It is therefore known before labelling, where the teacher labels the whole
candidate list of a validation query, and it does not change if another query is rejected.
"""

from __future__ import annotations

import hashlib


def is_validation(query_id: str, fraction: float, seed: int) -> bool:
    """Return whether a query is a validation query.

    Args:
        query_id: Id of the query.
        fraction: Expected share of validation queries, 0 to 1.
        seed: `queries.seed` of the run.
    """
    digest = hashlib.sha256(f"{seed} {query_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
