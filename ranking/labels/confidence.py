"""Label confidence: how far a teacher's answers to several prompt orders agree, and a filter for training."""

from __future__ import annotations

from collections.abc import Mapping

from ranking.errors import InputError


def trust(confidence: float | None) -> float:
    """Return a label's confidence, or 1 if it is None because the list was labelled with one prompt order."""
    return 1.0 if confidence is None else confidence


def confident(labels: Mapping[str, float | None], min_confidence: float) -> list[str]:
    """Return the ids of the queries whose labels reach a confidence.

    Args:
        labels: confidence by query id.
        min_confidence: lowest confidence that passes.

    Raises:
        InputError: if there are labels and none of them passes.
    """
    passing = [query_id for query_id, confidence in labels.items() if trust(confidence) >= min_confidence]
    if labels and not passing:
        highest = max(map(trust, labels.values()))
        raise InputError(
            f"setting 'training.confidence.min_confidence': none of the {len(labels):,} labels has a confidence of "
            f"{min_confidence:g} or more; the highest is {highest:.3f}"
        )
    return passing
