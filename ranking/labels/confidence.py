"""Label confidence, and a filter for labels by confidence.

The confidence of a label is the agreement between a teacher's answers to several prompt orders of the same documents.
"""

from __future__ import annotations

from collections.abc import Mapping

from ranking.errors import InputError


def trust(confidence: float | None) -> float:
    """Return a label's confidence, or 1 if it is None: with a single prompt order there is no agreement to measure."""
    return 1.0 if confidence is None else confidence


def confident(labels: Mapping[str, float | None], min_confidence: float) -> list[str]:
    """Return the ids of the queries whose labels have at least a minimum confidence.

    Args:
        labels: {query id: confidence}.
        min_confidence: Minimum confidence, inclusive.

    Raises:
        InputError: There are labels, but none has the minimum confidence.
    """
    passing = [query_id for query_id, confidence in labels.items() if trust(confidence) >= min_confidence]
    if labels and not passing:
        highest = max(map(trust, labels.values()))
        raise InputError(
            f"setting 'training.confidence.min_confidence': none of the {len(labels):,} labels has a confidence of "
            f"{min_confidence:g} or more; the highest is {highest:.3f}"
        )
    return passing
