"""Fit a student's calibration on validation queries, and measure it by cross-validation over these queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ranking.calibration.calibration_measures import (
    ThresholdRow,
    brier_score,
    expected_calibration_error,
    threshold_table,
)
from ranking.calibration.platt_scaling import Booleans, Floats, PlattScaling, fit_platt, sigmoid

CalibrationSource = Literal["judgements", "teacher"]

MIN_PER_CLASS = 10
"""Minimum number of relevant pairs, and of other pairs, to fit a calibration on."""

MIN_LOGIT_SPREAD = 0.1
"""Minimum standard deviation of the calibrated logits.

Below it, the scores say almost nothing about relevance, and scaling them down would round close scores to ties.
"""

FOLDS = 5


class CalibrationError(ValueError):
    """A student's scores cannot be calibrated. The text is the reason."""


@dataclass(frozen=True)
class QueryScores:
    """Raw scores of one validation query's documents, and whether each document is relevant, in the same order."""

    query_id: str
    scores: list[float]
    relevant: list[bool]


class Calibration(BaseModel):
    """The calibration of a student: a part of the student config.

    The sigmoid of the student's scores is the probability that the document is relevant. Slope and offset are already
    part of the student's head.

    Attributes:
        source: What defines relevance: human `judgements` or the `teacher`'s labels.
        relevant_grade: Minimum grade of a relevant document. None if the source is the teacher.
        slope: Factor that the raw scores were multiplied by, above 0.
        offset: Value that was added to the scaled scores.
        queries: Number of validation queries.
        pairs: Number of query-document pairs of these queries.
        relevant: Number of relevant pairs.
        ece_before: Expected calibration error of the sigmoid of the raw scores, with bins of equal mass.
        ece: The same of the calibrated scores, by cross-validation over queries.
        brier_before: Brier score of the sigmoid of the raw scores.
        brier: Brier score of the calibrated scores, by cross-validation over queries.
        thresholds: Precision and recall by threshold, by cross-validation over queries.
    """

    model_config = ConfigDict(extra="forbid")

    source: CalibrationSource
    relevant_grade: int | None = None
    slope: float = Field(gt=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False)
    queries: int
    pairs: int
    relevant: int
    ece_before: float
    ece: float
    brier_before: float
    brier: float
    thresholds: list[ThresholdRow]

    @property
    def relevance(self) -> str:
        """What counts as relevant, in words."""
        if self.source == "judgements":
            return f"human judgements of grade {self.relevant_grade} or more"
        return "the teacher's labels"


def fit_calibration(
    queries: Sequence[QueryScores], source: CalibrationSource, relevant_grade: int | None = None
) -> Calibration:
    """Fit a calibration on all queries, and measure its error by cross-validation over queries.

    Args:
        queries: Scores of the validation queries.
        source: What defines relevance.
        relevant_grade: Minimum grade of a relevant document, for human judgements.

    Raises:
        CalibrationError: There are too few queries, relevant pairs or non-relevant pairs; a score is NaN or infinite;
            or the scores do not increase with relevance.
    """
    queries = sorted((query for query in queries if query.scores), key=lambda query: query.query_id)
    relevant = np.array([value for query in queries for value in query.relevant], dtype=np.bool_)
    _check_counts(len(queries), int(relevant.sum()), int((~relevant).sum()))
    scores = np.array([score for query in queries for score in query.scores], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise CalibrationError("a score of a validation pair is NaN or infinite")
    scaling = fit_platt(scores, relevant)
    _check_scaling(scaling, float(scores.std()))
    query_of = np.repeat(np.arange(len(queries)), [len(query.scores) for query in queries])
    before, after = sigmoid(scores), _cross_validated(scores, relevant, query_of % min(FOLDS, len(queries)))
    return Calibration(
        source=source,
        relevant_grade=relevant_grade,
        slope=scaling.slope,
        offset=scaling.offset,
        queries=len(queries),
        pairs=len(scores),
        relevant=int(relevant.sum()),
        ece_before=expected_calibration_error(before, relevant),
        ece=expected_calibration_error(after, relevant),
        brier_before=brier_score(before, relevant),
        brier=brier_score(after, relevant),
        thresholds=threshold_table(after, relevant),
    )


def has_enough(queries: Sequence[QueryScores]) -> bool:
    """Return whether there are enough queries, relevant pairs and other pairs to fit a calibration."""
    relevant = sum(sum(query.relevant) for query in queries)
    others = sum(len(query.relevant) for query in queries) - relevant
    return sum(bool(query.relevant) for query in queries) > 1 and min(relevant, others) >= MIN_PER_CLASS


def _check_counts(queries: int, relevant: int, others: int) -> None:
    """Raise CalibrationError if there is too little data."""
    if min(relevant, others) < MIN_PER_CLASS:
        raise CalibrationError(
            f"the validation queries have {relevant:,} relevant and {others:,} other documents, and at least "
            f"{MIN_PER_CLASS} of each are needed; label more queries or raise training.validation_fraction"
        )
    if queries < 2:
        raise CalibrationError(
            "there is only one validation query; label more queries or raise training.validation_fraction"
        )


def _check_scaling(scaling: PlattScaling, spread: float) -> None:
    """Raise CalibrationError if the fit would change the order, or if it is almost constant."""
    if scaling.slope < 0:
        raise CalibrationError(
            f"on the validation queries, relevant documents have lower scores than others (slope {scaling.slope:.3g}), "
            "so calibrated scores would reverse the order"
        )
    if not scaling.slope * spread >= MIN_LOGIT_SPREAD:
        raise CalibrationError(
            f"on the validation queries, the scores hardly depend on relevance (slope {scaling.slope:.3g})"
        )


def _cross_validated(scores: Floats, relevant: Booleans, fold_of: np.ndarray) -> Floats:
    """Return the probability of each pair under a fit on the queries of the other folds, [pairs]."""
    probabilities = np.empty_like(scores)
    for fold in np.unique(fold_of):
        left_out = fold_of == fold
        probabilities[left_out] = fit_platt(scores[~left_out], relevant[~left_out]).probabilities(scores[left_out])
    return probabilities
