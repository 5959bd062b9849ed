"""How far a teacher agreed with itself on a label, and which labels that leaves to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.errors import InputError
from ranking.records import Label


def trust(confidence: float | None) -> float:
    """A label's confidence as a number; one whose teacher was asked once has none and counts as sure."""
    return 1.0 if confidence is None else confidence


def confident(labels: Sequence[Label], at_least: float) -> list[Label]:
    """The labels of at least this confidence. Raises InputError where there are labels and none is left."""
    kept = [label for label in labels if trust(label.confidence) >= at_least]
    if labels and not kept:
        highest = max(trust(label.confidence) for label in labels)
        raise InputError(
            f"setting 'training.confidence.at_least': none of the {len(labels):,} labels has a confidence of {at_least:g} or more; "
            f"the highest is {highest:.3f}"
        )
    return kept
