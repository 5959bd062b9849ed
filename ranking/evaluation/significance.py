"""Is the difference between two systems more than chance, is it large, and could it have been seen?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_BATCH = 1000
POWER = 0.8
"""The chance with which a difference that `detectable` names is seen."""


@dataclass(frozen=True)
class Comparison:
    """system minus control.

    delta: mean difference. p: of the paired randomisation test. interval: 95% bootstrap interval of the difference.
    lower: one-sided bootstrap bound: the difference is above it with a confidence of 1 - level.
    effect: Cohen's d of paired differences, their mean by their standard deviation; None where they are all equal.
    detectable: the smallest true difference that so many queries, differing as these do, show with a power of 0.8.
    """

    delta: float
    p: float
    interval: tuple[float, float]
    lower: float
    effect: float | None
    detectable: float


def compare(
    system: Mapping[str, float], control: Mapping[str, float], permutations: int, seed: int, level: float = 0.05
) -> Comparison:
    """Compare two systems query by query.

    p: two-sided paired randomisation test (Smucker et al., CIKM 2007): the share of random sign flips
    whose mean difference is at least as large as the one seen, counting the one seen itself.
    interval: percentile bootstrap over queries, as many resamples as permutations.

    system, control: {query_id: value}, the same queries. level: of significance, for `lower` and `detectable`.
    Raises ValueError for different queries or none.
    """
    if set(system) != set(control) or not system:
        raise ValueError("a paired test needs the same queries on both sides, and at least one")
    differences = np.array([system[query_id] - control[query_id] for query_id in sorted(system)])
    observed = abs(differences.mean())
    generator = np.random.default_rng(seed)
    extreme = 0
    means = []
    for start in range(0, permutations, _BATCH):
        rows = min(_BATCH, permutations - start)
        signs = generator.choice([-1.0, 1.0], size=(rows, len(differences)))
        extreme += int((np.abs((signs * differences).mean(axis=1)) >= observed - 1e-12).sum())
        resampled = generator.integers(0, len(differences), size=(rows, len(differences)))
        means.append(differences[resampled].mean(axis=1))
    low, high, lower = np.quantile(np.concatenate(means), [0.025, 0.975, level])
    delta, spread = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return Comparison(
        delta=delta,
        p=(extreme + 1) / (permutations + 1),
        interval=(float(low), float(high)),
        lower=float(lower),
        effect=delta / spread if spread > 1e-12 else None,
        detectable=detectable(spread, len(differences), level),
    )


def detectable(spread: float, queries: int, level: float, power: float = POWER) -> float:
    """The smallest mean difference that a two-sided paired test shows with a power (Cohen, 1988, by the normal approximation):

    d = (z_(1 - level/2) + z_power) * spread / sqrt(queries)

    spread: standard deviation of the differences over queries.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * spread / math.sqrt(queries)


def queries_needed(spread: float, difference: float, level: float, power: float = POWER) -> int:
    """How many queries show a difference with a power: `detectable`, solved for their number. At least 1."""
    return max(1, math.ceil((detectable(spread, 1, level, power) / difference) ** 2))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics, 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1; none is made smaller than one before it, or larger than 1.
    """
    corrected, highest = [0.0] * len(ps), 0.0
    for place, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[i] * (len(ps) - place)))
        corrected[i] = highest
    return corrected
