"""Proportions and means with 95% confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ranking.records import Record

_Z = 1.959963984540054
_RESAMPLES = 2000


class Proportion(Record):
    """A proportion with its confidence interval.

    Attributes:
        count: number of successes.
        of: number of trials.
        share: count / of; None if `of` is 0.
        interval: 95% Wilson score interval; None if `of` is 0.
    """

    count: int
    of: int
    share: float | None
    interval: tuple[float, float] | None


class MeanEstimate(Record):
    """A mean over candidate lists with its confidence interval.

    Attributes:
        mean: the mean.
        interval: 95% percentile bootstrap interval over lists; None for a single list.
        lists: number of lists.
    """

    mean: float
    interval: tuple[float, float] | None
    lists: int


def share(count: int, of: int) -> Proportion:
    """Return a proportion p = count / of with its 95% score interval (Wilson, 1927).

        centre = (p + z^2 / 2n) / (1 + z^2 / n)     half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)

    The interval stays within 0 and 1, and has a positive width even if p is 0 or 1.

    Args:
        count: number of successes, from 0 to `of`.
        of: number of trials, n in the formula.
    """
    if of == 0:
        return Proportion(count=count, of=of, share=None, interval=None)
    rate, weight = count / of, 1 + _Z**2 / of
    centre = (rate + _Z**2 / (2 * of)) / weight
    half = _Z * math.sqrt(rate * (1 - rate) / of + _Z**2 / (4 * of**2)) / weight
    low, high = min(max(0.0, centre - half), rate), max(min(1.0, centre + half), rate)
    return Proportion(count=count, of=of, share=rate, interval=(low, high))


def mean_over_lists(values: Iterable[tuple[str, float]], seed: int) -> MeanEstimate | None:
    """Average values within each list, then over lists.

    The bootstrap resamples lists, because values of one list are not independent.

    Args:
        values: (list_id, value) pairs.
        seed: seed of the bootstrap. The same seed gives the same interval.

    Returns:
        The mean, or None if there are no values.
    """
    by_list: dict[str, list[float]] = {}
    for list_id, value in values:
        by_list.setdefault(list_id, []).append(value)
    if not by_list:
        return None
    means = np.array([mean_of(by_list[list_id]) for list_id in sorted(by_list)])
    return MeanEstimate(mean=float(means.mean()), interval=_bootstrap(means, seed), lists=len(means))


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean, or None if there are no values."""
    return sum(values) / len(values) if values else None


def _bootstrap(means: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int) -> tuple[float, float] | None:
    if len(means) == 1:
        return None
    generator = np.random.default_rng(seed)
    drawn = [means[generator.integers(0, len(means), len(means))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
