"""Fit the blend of a student's scores with the first stage's on validation lists (`ranking.blending`).

The form and weight with the highest nDCG@10 against the teacher are chosen. The form says how the first stage
contributes: with its scores or with its reciprocal ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ranking.blending import FORMS, Blend, Form
from students.objective import ndcg

WEIGHTS = [step / 20 for step in range(20, -1, -1)]
"""Weights of the student to try, from 1 (the student alone) to 0. If several give the same nDCG@10, the first wins."""


@dataclass(frozen=True)
class ValidationList:
    """One query's documents: student scores, first-stage scores and the teacher's targets, in the same order."""

    student: list[float]
    first_stage: list[float]
    targets: list[float]


@dataclass(frozen=True)
class FittedBlend:
    """A fitted blend with its nDCG@10 on the validation lists.

    Attributes:
        blend: The best form, and the best weight for each form.
        alone: nDCG@10 of the student alone over the validation lists.
        blended: nDCG@10 of the blend over the same lists.
    """

    blend: Blend
    alone: float
    blended: float


def fit(lists: Sequence[ValidationList], forms: Sequence[Form] = FORMS) -> FittedBlend:
    """Fit a weight for each form and choose the best form.

    Args:
        lists: Validation lists, at least one.
        forms: Forms to choose from.

    Raises:
        ValueError: If there are no lists.
    """
    if not lists:
        raise ValueError("a blend needs at least one validation list")
    values = {(form, weight): _value(lists, form, weight) for form in forms for weight in WEIGHTS}

    def best_weight(form: Form) -> float:
        return max(WEIGHTS, key=lambda weight: values[form, weight])

    weights = {form: best_weight(form) for form in forms}
    best = max(forms, key=lambda form: values[form, weights[form]])
    return FittedBlend(Blend(form=best, weights=weights), values[best, 1.0], values[best, weights[best]])


def _value(lists: Sequence[ValidationList], form: Form, weight: float) -> float:
    """Return the mean nDCG@10 over the lists, blended with this form and weight."""
    blend = Blend(form=form, weights={form: weight})
    return sum(_ndcg(blend.apply(one.student, one.first_stage), one.targets) for one in lists) / len(lists)


def _ndcg(scores: Sequence[float], targets: Sequence[float]) -> float:
    """Return nDCG@10 of one list."""
    return float(ndcg(torch.tensor([scores]), torch.tensor([targets]), torch.ones(1, len(targets), dtype=torch.bool)))
