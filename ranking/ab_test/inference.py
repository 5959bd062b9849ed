"""Inference from per-key sums: confidence intervals, a sequential test, and the sample ratio mismatch check.

Experiment keys, not exposures, are assigned to arms at random, and exposures of one key are not independent. Therefore
all statistics and bootstraps are over keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
PRIOR = 0.1
"""Standard deviation of the normal mixture over effects in the sequential test, in standard deviations of one key.

The test has the best power for effects of about this size. It keeps its significance level for effects of any size.
"""

MIN_KEYS = 100
"""Minimum number of keys per arm for the sequential test, which relies on asymptotic normality."""


@dataclass(frozen=True)
class Difference:
    """Difference of a metric, challenger minus champion.

    A look is one inspection of the results while the experiment runs.

    Attributes:
        champion: the champion's mean over exposures.
        challenger: the challenger's mean over exposures.
        delta: difference of the means.
        interval: bootstrap interval of delta over keys, valid for a single look.
        lift: delta divided by the champion's mean; None if that mean is 0.
        lift_interval: bootstrap interval of lift over keys, valid for a single look; None if the champion's mean is 0,
            overall or in a resample.
        always_valid: interval of delta that is valid at every look; None if an arm has fewer than MIN_KEYS keys.
        p: p-value that is valid at every look; None if an arm has fewer than MIN_KEYS keys.
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
    """Compare a metric between two arms.

    Args:
        champion: per-key sums of the metric and per-key exposure counts in the champion's arm, each of shape [keys].
            At least one key is needed.
        challenger: the same for the challenger's arm.
        level: significance level; 0.05 gives 95% intervals.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
    """
    means = [float(sums.sum() / shown.sum()) for sums, shown in (champion, challenger)]
    delta = means[1] - means[0]
    generator = np.random.default_rng(seed)
    first, second = (_resample_means(*arm, resamples, generator) for arm in (champion, challenger))
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
    """Compare the mean of a metric over exposures with 0. Used for the wins of interleaved orders.

    The result has 0 as the champion's mean.

    Args:
        sums: per-key sums of the metric, [keys].
        shown: per-key exposure counts, [keys].
        level: significance level; 0.05 gives 95% intervals.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
    """
    mean = float(sums.sum() / shown.sum())
    drawn = _resample_means(sums, shown, resamples, np.random.default_rng(seed))
    always_valid, p = _sequential(mean, [_residuals(sums, shown)], level)
    return Difference(0.0, mean, mean, _interval(drawn, level), None, None, always_valid, p)


def _resample_means(sums: Values, shown: Values, resamples: int, generator: np.random.Generator) -> Values:
    """Return the mean over exposures in each bootstrap resample of the keys, [resamples]."""
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
    """Return each key's contribution to the error of the mean (delta method for a ratio of sums), [keys]."""
    residuals: Values = (sums - sums.sum() / shown.sum() * shown) / shown.mean()
    return residuals


def _sequential(delta: float, residuals: list[Values], level: float) -> tuple[tuple[float, float] | None, float | None]:
    """Return an interval of delta and a p-value that are valid at every look, or None for both with too few keys.

    The test is the mixture SPRT with a normal mixture over effects (Robbins, 1970; Johari et al., 2017). Its
    likelihood ratio is

        sqrt(V / (V + tau²)) exp(tau² delta² / (2 V (V + tau²)))

    with V the variance of delta and tau² the variance of the mixture. The p-value is the inverse of the ratio.
    """
    if min(len(values) for values in residuals) < MIN_KEYS:
        return None, None
    variance = sum(float(values.var(ddof=1)) / len(values) for values in residuals)
    spread = float(np.mean([values.var(ddof=1) for values in residuals]))
    if variance == 0:
        return (delta, delta), 1.0 if delta == 0 else 0.0
    tau2 = PRIOR**2 * spread
    radius = math.sqrt(
        2 * variance * (variance + tau2) / tau2 * (math.log(1 / level) + 0.5 * math.log((variance + tau2) / variance))
    )
    log_ratio = 0.5 * math.log(variance / (variance + tau2)) + tau2 * delta**2 / (2 * variance * (variance + tau2))
    return (delta - radius, delta + radius), min(1.0, math.exp(-log_ratio))


def sample_ratio_p_value(champion: int, challenger: int, share: float) -> float:
    """Test whether the arms' numbers of keys match the configured share, and return the p-value.

    This is a chi-square test with one degree of freedom for a sample ratio mismatch. A p-value below .001 means that
    keys of one arm get lost, and that other results cannot be trusted.

    Args:
        champion: number of keys in the champion's arm.
        challenger: number of keys in the challenger's arm.
        share: configured share of the challenger's keys.
    """
    total = champion + challenger
    expected = (total * (1 - share), total * share)
    if min(expected) == 0:
        return 1.0 if (champion, challenger) == (round(expected[0]), round(expected[1])) else 0.0
    chi2 = sum((count - mean) ** 2 / mean for count, mean in zip((champion, challenger), expected, strict=True))
    return math.erfc(math.sqrt(chi2 / 2))


def keys_needed(sums: Values, shown: Values, lift: float, level: float, power: float = 0.8) -> int | None:
    """Return the number of keys per arm that are needed to detect a relative lift at a single look.

    Args:
        sums: the champion's per-key sums, [keys].
        shown: the champion's per-key exposure counts, [keys].
        lift: relative lift to detect.
        level: significance level.
        power: probability of detecting the lift.

    Returns:
        Number of keys, or None if the champion's mean is not positive or there are fewer than 2 keys.
    """
    mean = float(sums.sum() / shown.sum())
    if mean <= 0 or len(sums) < 2:
        return None
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)
    return math.ceil(2 * float(_residuals(sums, shown).var(ddof=1)) * (quantiles / (lift * mean)) ** 2)
