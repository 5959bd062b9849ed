"""Shares and means with their 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ranking.records import Record

_Z = 1.959963984540054
_RESAMPLES = 2000


class Proportion(Record):
    """count of so many. share and interval (Wilson, 95%): None of nothing."""

    count: int
    of: int
    share: float | None
    interval: tuple[float, float] | None


class MeanEstimate(Record):
    """A mean over lists. interval: percentile bootstrap over lists, 95%; None for a single list."""

    mean: float
    interval: tuple[float, float] | None
    lists: int


def share(count: int, of: int) -> Proportion:
    """Proportion with the score interval (Wilson, 1927).

        centre = (p + z^2 / 2n) / (1 + z^2 / n)     half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)

    count: from 0 to `of`. The interval stays within 0 and 1 and has a width even where count is 0 or all.
    """
    if of == 0:
        return Proportion(count=count, of=of, share=None, interval=None)
    rate, weight = count / of, 1 + _Z**2 / of
    centre = (rate + _Z**2 / (2 * of)) / weight
    half = _Z * math.sqrt(rate * (1 - rate) / of + _Z**2 / (4 * of**2)) / weight
    low, high = min(max(0.0, centre - half), rate), max(min(1.0, centre + half), rate)
    return Proportion(count=count, of=of, share=rate, interval=(low, high))


def mean_over_lists(values: Iterable[tuple[str, float]], seed: int) -> MeanEstimate | None:
    """Average (list_id, value) pairs, first within each list, then over lists; None without any.

    Lists are what is resampled, because values of one list are not independent. The same seed gives the
    same interval.
    """
    by_list: dict[str, list[float]] = {}
    for list_id, value in values:
        by_list.setdefault(list_id, []).append(value)
    if not by_list:
        return None
    means = np.array([mean_of(by_list[list_id]) for list_id in sorted(by_list)])
    return MeanEstimate(mean=float(means.mean()), interval=_bootstrap(means, seed), lists=len(means))


def mean_of(values: Sequence[float]) -> float | None:
    """Average; None of nothing."""
    return sum(values) / len(values) if values else None


def _bootstrap(means: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int) -> tuple[float, float] | None:
    if len(means) == 1:
        return None
    generator = np.random.default_rng(seed)
    drawn = [means[generator.integers(0, len(means), len(means))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
