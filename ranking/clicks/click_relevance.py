"""Relevance of documents from their clicks, corrected for the positions at which they were shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.clicks.click_counts import ClickCounts, Floats


@dataclass(frozen=True)
class ClickRelevance:
    """Estimates of (query, document) pairs, [pairs] each.

    Attributes:
        relevance: Estimated click rate at position 1. NaN for a pair without impressions at positions with a
            propensity. Can exceed 1 for a document with few impressions.
        shown: Impressions at positions with a propensity.
        clicks: Clicks on these impressions.
        examined: Sum of the propensities over these impressions: the number of impressions at position 1 that would
            give the same evidence. Few for a document that was only shown far below.
    """

    relevance: Floats
    shown: Floats
    clicks: Floats
    examined: Floats


def debias(counts: ClickCounts, propensities: Floats, max_weight: float) -> ClickRelevance:
    """Estimate the relevance of each pair by clipped inverse propensity weighting.

        relevance = sum of w_k clicks_k / sum of w_k p_k shown_k, with w_k = min(1 / p_k, max_weight)

    Without clipping, this is the mean of click / p_k over the impressions (Joachims et al., WSDM 2017); an impression
    without a click counts as 0. Clipping limits the influence of a click far below. The denominator is the expected
    weight, so clipping reduces the variance without lowering the estimate.

    Args:
        counts: Counts; positions are below the number of propensities.
        propensities: Propensity of each position, [depth]. Impressions at positions with NaN are ignored.
        max_weight: Maximum weight of a click.
    """
    p = np.nan_to_num(propensities)[counts.positions]
    known = p > 0
    weights = np.minimum(1 / np.where(known, p, 1.0), max_weight) * known
    total = counts.by_pair
    expected = total(weights * p * counts.shown)
    relevance = np.full(counts.pair_count, np.nan)
    np.divide(total(weights * counts.clicks), expected, out=relevance, where=expected > 0)
    return ClickRelevance(relevance, total(known * counts.shown), total(known * counts.clicks), total(p * counts.shown))
