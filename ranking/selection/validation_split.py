"""Choose the labelled queries that are used for validation instead of training.

The choice depends only on the query id, the seed and the fraction. It is therefore known before labelling, when the
teacher must label the whole candidate list of a validation query instead of only its head and tail. It also does not
change if other queries are rejected. All queries that were generated from one document are on the same side.
"""

from __future__ import annotations

import hashlib

from ranking.generation.generated_ids import split_key


def is_validation(query_id: str, fraction: float, seed: int) -> bool:
    """Return whether a query is used for validation.

    Args:
        query_id: Id of the query.
        fraction: Expected share of queries that are used for validation, 0 to 1.
        seed: `queries.seed` of the run.
    """
    digest = hashlib.sha256(f"{seed} {split_key(query_id)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
