"""Blending: a student's scores and the first stage's, joined into one order. Evaluation and serving call the same function.

    blended = w * z(student) + (1 - w) * z(first stage),   z(x) = (x - mean(x)) / std(x) over the list

The first stage counts by its scores or by the reciprocal of its ranks. The form is this project's own; linear interpolation of
standardised scores is common in re-ranking (for example Wang et al., "BERT-based Dense Retrievers Require Interpolation with BM25",
ICTIR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Form = Literal["scores", "ranks"]
FORMS: tuple[Form, ...] = ("scores", "ranks")
_EQUAL = 1e-9


class Blend(BaseModel):
    """How a student is blended with the first stage, fitted on validation queries; part of the student's config.

    form: the better form, used where a request or a list has scores. weights: w for each form; 1 is the student alone.
    """

    model_config = ConfigDict(extra="forbid")

    form: Form
    weights: dict[Form, float] = Field(min_length=1)

    @property
    def weight(self) -> float:
        """The weight of the better form."""
        return self.weights[self.form]

    def __str__(self) -> str:
        return f"{self.form}, w = {self.weight:g}"

    def apply(self, student: Sequence[float], first_stage: Sequence[float], form: Form | None = None) -> list[float]:
        """Blend one list's scores.

        student: one score for each document. first_stage: the first stage's scores, in the same order; higher is better. form: how the
        first stage counts; None for the better form. Returns blended scores on the student's scale.
        """
        form = form or self.form
        signal = first_stage if form == "scores" else reciprocal_ranks(first_stage)
        return blended(student, signal, self.weights[form])

    def apply_order(self, student: Sequence[float]) -> list[float]:
        """Blend scores of documents that are in the first stage's order, without its scores."""
        return blended(student, [1.0 / rank for rank in range(1, len(student) + 1)], self.weights["ranks"])


def blended(student: Sequence[float], signal: Sequence[float], weight: float) -> list[float]:
    """w * z(student) + (1 - w) * z(signal), moved back to the student's mean and standard deviation, so that scores keep their scale.

    Raises ValueError for lists of different lengths.
    """
    if len(student) != len(signal):
        raise ValueError(f"{len(student)} student scores and {len(signal)} first-stage scores")
    if not student:
        return []
    scores = np.asarray(student, dtype=np.float64)
    joined = weight * standardised(scores) + (1.0 - weight) * standardised(np.asarray(signal, dtype=np.float64))
    found: list[float] = (scores.mean() + (_spread(scores) or 1.0) * joined).tolist()
    return found


def standardised(values: np.ndarray) -> np.ndarray:
    """(x - mean) / standard deviation; zeros where all values are equal."""
    spread = _spread(values)
    return (values - values.mean()) / spread if spread else np.zeros_like(values)


def _spread(values: np.ndarray) -> float:
    """The standard deviation; 0 for values that differ by rounding only."""
    spread = float(values.std())
    return spread if spread > _EQUAL * max(1.0, float(np.abs(values).max())) else 0.0


def reciprocal_ranks(scores: Sequence[float]) -> list[float]:
    """1 / rank of each document in the order of the scores; equal scores in the order given."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    found = [0.0] * len(scores)
    for rank, i in enumerate(order, start=1):
        found[i] = 1.0 / rank
    return found
