"""How far a teacher agreed with itself on a label, and which labels that leaves to learn from."""

from __future__ import annotations

from collections.abc import Mapping

from ranking.errors import InputError


def trust(confidence: float | None) -> float:
    """A label's confidence as a number; one whose teacher was asked once has none and counts as sure."""
    return 1.0 if confidence is None else confidence


def confident(labels: Mapping[str, float | None], at_least: float) -> list[str]:
    """The queries whose labels are of at least this confidence. labels: confidence by query id.

    Raises InputError where there are labels and none is left.
    """
    kept = [query_id for query_id, confidence in labels.items() if trust(confidence) >= at_least]
    if labels and not kept:
        highest = max(map(trust, labels.values()))
        raise InputError(
            f"setting 'training.confidence.min_confidence': none of the {len(labels):,} labels has a confidence of {at_least:g} or more; "
            f"the highest is {highest:.3f}"
        )
    return kept
