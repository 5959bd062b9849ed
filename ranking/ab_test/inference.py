"""What sums by key say of a difference: intervals, a test that may be looked at early, and checks of the division.

Keys are what was divided by chance, so they are what is resampled and counted; exposures of one key are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
PRIOR = 0.1
"""Effects that the sequential test is tuned to, in standard deviations of a key; any size keeps its level."""

FEWEST_KEYS = 100
"""Keys of an arm below which the sequential test says nothing: it leans on a normal limit."""


@dataclass(frozen=True)
class Difference:
    """challenger minus champion. delta: of the means over exposures; lift: delta by the champion's mean.

    interval, lift_interval: bootstrap over keys, for one look. always_valid: holds at every look; None below FEWEST_KEYS
    keys. p: always valid too.
    """

    champion: float
    challenger: float
    delta: float
    interval: tuple[float, float]
    lift: float | None
    lift_interval: tuple[float, float] | None
    always_valid: tuple[float, float] | None
    p: float | None


def compare(
    champion: tuple[Values, Values], challenger: tuple[Values, Values], level: float, resamples: int, seed: int
) -> Difference:
    """Compare a metric of two arms. champion, challenger: (sums [keys], exposures [keys]), at least a key each."""
    means = [float(sums.sum() / shown.sum()) for sums, shown in (champion, challenger)]
    delta = means[1] - means[0]
    generator = np.random.default_rng(seed)
    first, second = (_resampled(*arm, resamples, generator) for arm in (champion, challenger))
    lifts = _interval(second / first - 1, level) if means[0] > 0 and (first > 0).all() else None
    always_valid, p = _sequential(delta, [_residuals(*arm) for arm in (champion, challenger)], level)
    return Difference(
        champion=means[0],
        challenger=means[1],
        delta=delta,
        interval=_interval(second - first, level),
        lift=delta / means[0] if means[0] > 0 else None,
        lift_interval=lifts,
        always_valid=always_valid,
        p=p,
    )


def one_sample(sums: Values, shown: Values, level: float, resamples: int, seed: int) -> Difference:
    """Whether a mean over exposures differs from 0, as the wins of a drafted order do."""
    mean = float(sums.sum() / shown.sum())
    drawn = _resampled(sums, shown, resamples, np.random.default_rng(seed))
    always_valid, p = _sequential(mean, [_residuals(sums, shown)], level)
    return Difference(0.0, mean, mean, _interval(drawn, level), None, None, always_valid, p)


def _resampled(sums: Values, shown: Values, resamples: int, generator: np.random.Generator) -> Values:
    """Means of resampled keys, [resamples]."""
    keys = len(sums)
    means = np.empty(resamples)
    for i in range(resamples):
        chosen = generator.integers(0, keys, keys)
        means[i] = sums[chosen].sum() / shown[chosen].sum()
    return means


def _interval(values: Values, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [level / 2, 1 - level / 2])
    return float(low), float(high)


def _residuals(sums: Values, shown: Values) -> Values:
    """What each key adds to the error of the mean (delta method for a ratio of sums)."""
    residuals: Values = (sums - sums.sum() / shown.sum() * shown) / shown.mean()
    return residuals


def _sequential(delta: float, residuals: list[Values], level: float) -> tuple[tuple[float, float] | None, float | None]:
    """Interval and p that hold at every look: a normal mixture over effects (Robbins, 1970; mixture SPRT, Johari et al., 2017).

    With V the variance of delta and tau² that of the mixture, the likelihood ratio is
    sqrt(V / (V + tau²)) exp(tau² delta² / (2 V (V + tau²))), and p is its inverse.
    """
    if min(len(held) for held in residuals) < FEWEST_KEYS:
        return None, None
    variance = sum(float(held.var(ddof=1)) / len(held) for held in residuals)
    spread = float(np.mean([held.var(ddof=1) for held in residuals]))
    if variance == 0:
        return (delta, delta), 1.0 if delta == 0 else 0.0
    tau2 = PRIOR**2 * spread
    radius = math.sqrt(
        2 * variance * (variance + tau2) / tau2 * (math.log(1 / level) + 0.5 * math.log((variance + tau2) / variance))
    )
    log_ratio = 0.5 * math.log(variance / (variance + tau2)) + tau2 * delta**2 / (2 * variance * (variance + tau2))
    return (delta - radius, delta + radius), min(1.0, math.exp(-log_ratio))


def mismatch(champion: int, challenger: int, share: float) -> float:
    """p of so uneven a division of keys, were `share` of them the challenger's (chi-square test, one degree of freedom).

    Below .001 something loses keys of one arm, and no other number can be trusted.
    """
    total = champion + challenger
    expected = (total * (1 - share), total * share)
    if min(expected) == 0:
        return 1.0 if (champion, challenger) == (round(expected[0]), round(expected[1])) else 0.0
    chi2 = sum((seen - wanted) ** 2 / wanted for seen, wanted in zip((champion, challenger), expected, strict=True))
    return math.erfc(math.sqrt(chi2 / 2))


def keys_needed(sums: Values, shown: Values, lift: float, level: float, power: float = 0.8) -> int | None:
    """Keys of each arm that show a relative lift of the champion's mean, at one look. None where that mean is 0."""
    mean = float(sums.sum() / shown.sum())
    if mean <= 0 or len(sums) < 2:
        return None
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)
    return math.ceil(2 * float(_residuals(sums, shown).var(ddof=1)) * (quantiles / (lift * mean)) ** 2)
