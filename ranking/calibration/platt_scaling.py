"""Platt scaling: logistic regression of relevance on the score.

    P(relevant | score) = 1 / (1 + exp(-(slope * score + offset)))

Platt, "Probabilistic outputs for support vector machines" (1999), with his smoothed targets: (P + 1) / (P + 2) for the
P relevant documents and 1 / (N + 2) for the N others instead of 1 and 0. They keep the fit finite if the two classes
are separable. The fit is Newton's method with a backtracking line search, as in Lin, Lin and Weng, "A note on Platt's
probabilistic outputs for support vector machines" (2007).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_MAX_STEPS = 100
_TOLERANCE = 1e-10
_MIN_STEP_SIZE = 1e-10


class PlattScaling(NamedTuple):
    """A fitted logistic regression."""

    slope: float
    offset: float

    def probabilities(self, scores: Floats) -> Floats:
        """Map scores to probabilities of relevance."""
        return sigmoid(self.slope * scores + self.offset)


def fit_platt(scores: Floats, relevant: Booleans) -> PlattScaling:
    """Fit slope and offset by maximum likelihood with Platt's smoothed targets.

    Args:
        scores: Raw scores, [pairs], at least one.
        relevant: Whether each pair is relevant, [pairs].

    Returns:
        The fit. Its slope is 0 if all scores are equal.
    """
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    rate = float(targets.mean())
    start = np.log(rate / (1 - rate))
    mean, spread = float(scores.mean()), float(scores.std())
    if not spread:
        return PlattScaling(0.0, float(start))
    design = np.stack([(scores - mean) / spread, np.ones_like(scores)], axis=1)
    slope, offset = _newton(design, targets, np.array([0.0, start]))
    return PlattScaling(float(slope / spread), float(offset - slope * mean / spread))


def sigmoid(logits: Floats) -> Floats:
    """Compute 1 / (1 + exp(-x)) without overflow."""
    result: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return result


def _newton(design: Floats, targets: Floats, weights: Floats) -> Floats:
    """Minimise the mean cross-entropy over the weights, [2], starting from `weights`.

    Args:
        design: Standardised scores and a column of ones, [pairs, 2].
        targets: Smoothed targets, [pairs].
        weights: Initial weights.
    """
    loss = _loss(design, targets, weights)
    for _ in range(_MAX_STEPS):
        predicted = sigmoid(design @ weights)
        gradient = design.T @ (predicted - targets) / len(targets)
        if np.abs(gradient).max() < _TOLERANCE:
            break
        curvature = design.T @ (design * (predicted * (1 - predicted))[:, None]) / len(targets)
        direction = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        size = 1.0
        while (lower := _loss(design, targets, weights - size * direction)) > loss and size > _MIN_STEP_SIZE:
            size /= 2
        if size <= _MIN_STEP_SIZE:
            break
        weights, loss = weights - size * direction, lower
    return weights


def _loss(design: Floats, targets: Floats, weights: Floats) -> float:
    """Return the mean cross-entropy."""
    logits = design @ weights
    return float((np.logaddexp(0.0, logits) - targets * logits).mean())
