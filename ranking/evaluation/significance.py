"""Is the difference between two systems more than chance?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_BATCH = 1000


@dataclass(frozen=True)
class Comparison:
    """system minus control: the mean difference, the p-value, the 95% bootstrap interval of the difference."""

    delta: float
    p: float
    interval: tuple[float, float]


def compare(system: Mapping[str, float], control: Mapping[str, float], permutations: int, seed: int) -> Comparison:
    """Compare two systems query by query.

    p: two-sided paired randomisation test (Smucker et al., CIKM 2007): the share of random sign flips
    whose mean difference is at least as large as the one seen, counting the one seen itself.
    interval: percentile bootstrap over queries, as many resamples as permutations.

    system, control: {query_id: value}, the same queries. Raises ValueError for different queries or none.
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
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Comparison(float(differences.mean()), (extreme + 1) / (permutations + 1), (float(low), float(high)))
