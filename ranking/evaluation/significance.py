"""Significance, effect size and statistical power of the difference between two systems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import bootstrap, permutation_test
from statsmodels.stats.multitest import multipletests

_BATCH = 1000
POWER = 0.8
"""Statistical power used by `detectable` and `queries_needed`."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of two systems on the same queries. Differences are system minus baseline.

    Attributes:
        delta: Mean difference.
        p: p-value of the paired randomisation test.
        interval: 95% bootstrap interval of the mean difference.
        lower: One-sided lower bootstrap bound of the mean difference, at confidence 1 - level.
        effect: Cohen's d of the paired differences: mean / standard deviation. None if all differences are equal.
        detectable: Smallest true difference that is detected with a power of 0.8, given the number of queries and the
            standard deviation of the differences.
    """

    delta: float
    p: float
    interval: tuple[float, float]
    lower: float
    effect: float | None
    detectable: float


def compare(
    system: Mapping[str, float], baseline: Mapping[str, float], permutations: int, seed: int, level: float = 0.05
) -> Comparison:
    """Compare two systems query by query.

    The p-value is that of the two-sided paired randomisation test (Smucker et al., CIKM 2007). The test flips the signs
    of the differences at random; the p-value is the share of flips whose absolute mean difference is at least the
    observed one. The observed differences count as one of the flips. If there are fewer than `permutations` possible
    flips, all are used. The interval is a percentile bootstrap over queries.

    Args:
        system: {query_id: value}.
        baseline: {query_id: value} of the same queries.
        permutations: Number of random sign flips, and of bootstrap resamples.
        seed: Seed of both.
        level: Significance level for `lower` and `detectable`.

    Raises:
        ValueError: The queries differ or there are none.
    """
    if set(system) != set(baseline) or not system:
        raise ValueError("a paired test needs the same queries for both systems, and at least one")
    differences = np.array([system[query_id] - baseline[query_id] for query_id in sorted(system)])
    low, high, lower = np.quantile(_resampled_means(differences, permutations, seed), [0.025, 0.975, level])
    delta, spread = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return Comparison(
        delta=delta,
        p=_randomisation_p(differences, permutations, seed),
        interval=(float(low), float(high)),
        lower=float(lower),
        effect=delta / spread if spread > 1e-12 else None,
        detectable=detectable(spread, len(differences), level),
    )


def _randomisation_p(differences: np.ndarray, permutations: int, seed: int) -> float:
    """Return the p-value of the paired randomisation test. A single query is never significant."""
    if len(differences) == 1:
        return 1.0
    test = permutation_test(
        (differences,),
        lambda sample, axis: np.abs(np.mean(sample, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        n_resamples=permutations,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _resampled_means(differences: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the means of bootstrap resamples over queries. For a single query, returns its difference."""
    if len(differences) == 1:
        return differences
    resampled = bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=_BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return np.asarray(resampled.bootstrap_distribution)


def detectable(spread: float, queries: int, level: float, power: float = POWER) -> float:
    """Compute the smallest mean difference that a two-sided paired test detects (Cohen, 1988; normal approximation).

    d = (z_(1 - level/2) + z_power) * spread / sqrt(queries)

    Args:
        spread: Standard deviation of the differences over queries.
        queries: Number of queries.
        level: Significance level.
        power: Probability of detecting the difference.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * spread / math.sqrt(queries)


def queries_needed(spread: float, difference: float, level: float, power: float = POWER) -> int:
    """Compute the number of queries that are needed to detect a mean difference. At least 1.

    This is the formula of `detectable`, solved for `queries`.
    """
    return max(1, math.ceil((detectable(spread, 1, level, power) / difference) ** 2))


def holm(ps: Sequence[float]) -> list[float]:
    """Apply Holm's correction to p-values, in input order (Holm, Scandinavian Journal of Statistics, 1979).

    The i-th smallest of m p-values is multiplied by m - i + 1. Corrected values are made monotonic and capped at 1.
    """
    return [float(p) for p in multipletests(ps, method="holm")[1]] if ps else []
