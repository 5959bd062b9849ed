"""Turn pairwise comparisons of documents into one score per document: Bradley-Terry strengths or win rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PENALTY = 0.1
"""Default weight of the squared strengths, which keeps the strength of a document without a loss finite."""

_MAX_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class PairComparison:
    """The result of a comparison of two different documents.

    Attributes:
        one: Index of a document.
        other: Index of another document.
        share: Result for `one`: 1 is a win, 0 a loss, 0.5 a tie. A probability of winning is between them.
    """

    one: int
    other: int
    share: float


def bradley_terry(comparisons: Sequence[PairComparison], documents: int, penalty: float = PENALTY) -> list[float]:
    """Estimate the strengths s of the Bradley-Terry model by regularised maximum likelihood.

        P(i beats j) = 1 / (1 + exp(s_j - s_i))
        maximise  sum of log-likelihoods - penalty / 2 * sum of s_i^2

    A tie counts as half a win of each document. The objective is strictly concave, so the result is unique, also if the
    graph of comparisons is not connected or a document never loses. Newton's method with step halving.
    Source: Bradley and Terry, Biometrika 39 (1952).

    Args:
        comparisons: The comparisons. A pair can occur several times.
        documents: Number of documents.
        penalty: Weight of the squared strengths, above 0.

    Returns:
        One strength per document, on the scale of log-odds. Their mean is 0. A document without comparisons has 0.
    """
    wins = _wins(comparisons, documents)
    strengths = np.zeros(documents)
    value = _objective(strengths, wins, penalty)
    for _ in range(_MAX_STEPS):
        gradient, curvature = _derivatives(strengths, wins, penalty)
        if np.abs(gradient).max(initial=0.0) < _TOLERANCE:
            break
        step = np.linalg.solve(curvature, gradient)
        while (raised := _objective(strengths + step, wins, penalty)) < value and np.abs(step).max() > _TOLERANCE:
            step /= 2
        strengths, value = strengths + step, raised
    # the optimum has mean 0, but a tiny penalty hardly constrains the mean numerically
    result: list[float] = (strengths - strengths.mean()).tolist()
    return result


def win_rates(comparisons: Sequence[PairComparison], documents: int) -> list[float]:
    """Return the share of its comparisons that each document wins, from 0 to 1. A tie counts as half a win.

    Args:
        comparisons: The comparisons. A pair can occur several times.
        documents: Number of documents.

    Returns:
        One rate per document; 0.5 for a document without comparisons.
    """
    wins = _wins(comparisons, documents)
    played = wins.sum(axis=1) + wins.sum(axis=0)
    rates: list[float] = np.divide(wins.sum(axis=1), played, out=np.full(documents, 0.5), where=played > 0).tolist()
    return rates


def _wins(comparisons: Sequence[PairComparison], documents: int) -> np.ndarray:
    """Return the matrix of wins, [documents, documents]: row beats column."""
    wins = np.zeros((documents, documents))
    for comparison in comparisons:
        wins[comparison.one, comparison.other] += comparison.share
        wins[comparison.other, comparison.one] += 1 - comparison.share
    return wins


def _objective(strengths: np.ndarray, wins: np.ndarray, penalty: float) -> float:
    differences = strengths[:, None] - strengths[None, :]
    return float(-(wins * np.logaddexp(0.0, -differences)).sum() - penalty / 2 * (strengths**2).sum())


def _derivatives(strengths: np.ndarray, wins: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient, [documents], and the negative Hessian, [documents, documents], of the objective."""
    played = wins + wins.T
    expected = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    gradient = (wins - played * expected).sum(axis=1) - penalty * strengths
    weights = played * expected * (1 - expected)
    curvature = np.diag(weights.sum(axis=1) + penalty) - weights
    return gradient, curvature
