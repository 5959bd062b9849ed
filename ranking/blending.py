"""Blending: a weighted sum of a student's scores and a signal from first-stage retrieval, for one candidate list.

    blended = w * z(student) + (1 - w) * z(first stage),   z(x) = (x - mean(x)) / std(x) over the list

The signal is the first stage's scores or its reciprocal ranks; w is the weight of the student. Evaluation and serving
call the same functions. This exact form is the project's own; linear interpolation of standardised scores is common in
re-ranking (for example Wang et al., "BERT-based Dense Retrievers Require Interpolation with BM25", ICTIR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Form = Literal["scores", "ranks"]
FORMS: tuple[Form, ...] = ("scores", "ranks")
_RELATIVE_TOLERANCE = 1e-9


class Blend(BaseModel):
    """How to blend a student's scores with the first stage: a part of the student config, fitted on validation queries.

    Attributes:
        form: Form of the first-stage signal that is better on the validation queries: `scores`, or `ranks` (reciprocal
            ranks). Used if a request or a list has first-stage scores.
        weights: Weight w of the student for each form. 1 uses the student alone.
    """

    model_config = ConfigDict(extra="forbid")

    form: Form
    weights: dict[Form, float] = Field(min_length=1)

    @property
    def weight(self) -> float:
        """Weight w of the student for the better form, `self.form`."""
        return self.weights[self.form]

    def __str__(self) -> str:
        return f"{self.form}, w = {self.weight:g}"

    def apply(self, student: Sequence[float], first_stage: Sequence[float], form: Form | None = None) -> list[float]:
        """Blend a student's scores of one candidate list with the first-stage scores.

        Args:
            student: The student's scores, one per document.
            first_stage: First-stage scores in the same document order. Higher is better.
            form: Form of the first-stage signal. None uses `self.form`.

        Returns:
            Blended scores in the same document order, with the mean and standard deviation of the student's scores.
        """
        form = form or self.form
        signal = first_stage if form == "scores" else reciprocal_ranks(first_stage)
        return blend_scores(student, signal, self.weights[form])

    def apply_order(self, student: Sequence[float]) -> list[float]:
        """Blend by reciprocal ranks, for documents that are in first-stage order but have no first-stage scores."""
        return blend_scores(student, [1.0 / rank for rank in range(1, len(student) + 1)], self.weights["ranks"])


def blend_scores(student: Sequence[float], signal: Sequence[float], weight: float) -> list[float]:
    """Compute weight * z(student) + (1 - weight) * z(signal), rescaled to the student's mean and standard deviation.

    z is the function `standardise`.

    Raises:
        ValueError: The lists have different lengths.
    """
    if len(student) != len(signal):
        raise ValueError(f"{len(student)} student scores and {len(signal)} first-stage scores")
    if not student:
        return []
    scores = np.asarray(student, dtype=np.float64)
    combined = weight * standardise(scores) + (1.0 - weight) * standardise(np.asarray(signal, dtype=np.float64))
    result: list[float] = (scores.mean() + (_spread(scores) or 1.0) * combined).tolist()
    return result


def standardise(values: np.ndarray) -> np.ndarray:
    """Compute (x - mean) / standard deviation. Returns zeros if all values are equal."""
    spread = _spread(values)
    return (values - values.mean()) / spread if spread else np.zeros_like(values)


def _spread(values: np.ndarray) -> float:
    """Compute the standard deviation. Returns 0 if the values differ only by rounding errors."""
    spread = float(values.std())
    return spread if spread > _RELATIVE_TOLERANCE * max(1.0, float(np.abs(values).max())) else 0.0


def reciprocal_ranks(scores: Sequence[float]) -> list[float]:
    """Compute 1 / rank of each document by descending score. Ties keep the input order."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    result = [0.0] * len(scores)
    for rank, i in enumerate(order, start=1):
        result[i] = 1.0 / rank
    return result
