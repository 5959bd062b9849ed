"""Choosing a blend on validation lists: the form and weight with the highest nDCG@10 against the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ranking.blending import FORMS, Blend, Form
from students.objective import ndcg

WEIGHTS = [step / 20 for step in range(20, -1, -1)]
"""From 1, the student alone, down to 0; of equal values the first wins."""


@dataclass(frozen=True)
class ValidationList:
    """One query's documents: the student's scores, the first stage's scores and the teacher's targets, in the same order."""

    student: list[float]
    first_stage: list[float]
    targets: list[float]


@dataclass(frozen=True)
class FittedBlend:
    """A blend, and nDCG@10 over the validation lists of the student alone and blended."""

    blend: Blend
    alone: float
    blended: float


def fit(lists: Sequence[ValidationList], forms: Sequence[Form] = FORMS) -> FittedBlend:
    """Fit a weight for each form. lists: at least one. Raises ValueError for none."""
    if not lists:
        raise ValueError("a blend needs at least one validation list")
    values = {(form, weight): _value(lists, form, weight) for form in forms for weight in WEIGHTS}
    weights: dict[Form, float] = {
        form: max(WEIGHTS, key=lambda weight, form=form: values[form, weight]) for form in forms
    }  # type: ignore[misc]
    best = max(forms, key=lambda form: values[form, weights[form]])
    return FittedBlend(Blend(form=best, weights=weights), values[best, 1.0], values[best, weights[best]])


def _value(lists: Sequence[ValidationList], form: Form, weight: float) -> float:
    """Mean nDCG@10 of the blended lists."""
    blend = Blend(form=form, weights={form: weight})
    return sum(_ndcg(blend.apply(one.student, one.first_stage), one.targets) for one in lists) / len(lists)


def _ndcg(scores: Sequence[float], targets: Sequence[float]) -> float:
    """nDCG@10 of one list."""
    return float(ndcg(torch.tensor([scores]), torch.tensor([targets]), torch.ones(1, len(targets), dtype=torch.bool)))
