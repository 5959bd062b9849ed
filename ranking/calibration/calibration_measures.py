"""Measure probabilities of relevance: expected calibration error, Brier score, precision and recall by threshold."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from ranking.calibration.platt_scaling import Booleans, Floats

BINS = 10
THRESHOLDS = tuple(tenth / 10 for tenth in range(1, 10))


class ThresholdRow(BaseModel):
    """The documents whose probability is at least `threshold`.

    Attributes:
        precision: Share of the kept documents that are relevant. None if no document is kept.
        recall: Share of the relevant documents that are kept.
        kept: Share of all documents that are kept.
    """

    model_config = ConfigDict(extra="forbid")

    threshold: float
    precision: float | None
    recall: float
    kept: float


def expected_calibration_error(probabilities: Floats, relevant: Booleans, bins: int = BINS) -> float:
    """Compute the expected calibration error (ECE) with bins of equal mass.

        ECE = sum over bins of (pairs in bin / pairs) * |mean probability in bin - share of relevant pairs in bin|

    ECE: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015). Bins with equal
    numbers of pairs are less biased than bins of equal width: Roelofs et al., "Mitigating Bias in Calibration Error
    Estimation" (AISTATS 2022). Equal probabilities are in the same bin, so bins can differ in size if there are ties.

    Args:
        probabilities: Predicted probabilities, [pairs], at least one.
        relevant: Whether each pair is relevant, [pairs].
        bins: Maximum number of bins.
    """
    ordered = np.sort(probabilities)
    edges = ordered[[len(ordered) * i // bins for i in range(1, bins)]]
    bin_of = np.searchsorted(edges, probabilities, side="right")
    gaps = np.bincount(bin_of, weights=probabilities - relevant, minlength=bins)
    return float(np.abs(gaps).sum() / len(probabilities))


def brier_score(probabilities: Floats, relevant: Booleans) -> float:
    """Compute the mean squared difference between probability and outcome (Brier, 1950)."""
    return float(((probabilities - relevant) ** 2).mean())


def threshold_table(probabilities: Floats, relevant: Booleans) -> list[ThresholdRow]:
    """Compute precision, recall and the share of kept documents for each of `THRESHOLDS`.

    Args:
        probabilities: Predicted probabilities, [pairs].
        relevant: Whether each pair is relevant, [pairs], at least one.
    """
    return [_row(threshold, probabilities >= threshold, relevant) for threshold in THRESHOLDS]


def _row(threshold: float, kept: Booleans, relevant: Booleans) -> ThresholdRow:
    found = int((kept & relevant).sum())
    return ThresholdRow(
        threshold=threshold,
        precision=found / int(kept.sum()) if kept.any() else None,
        recall=found / int(relevant.sum()),
        kept=float(kept.mean()),
    )
