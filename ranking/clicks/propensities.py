"""Position bias: estimate how likely users examine each position.

In the position-based model, a click needs the examination of the position and an attractive document:
P(click) = p_k r_qd. Only ratios of propensities can be estimated, so all are relative to position 1, and r_qd is the
click rate of the document at position 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ranking.clicks.click_counts import ClickCounts, Floats, sum_by_index

ITERATIONS = 2000
TOLERANCE = 1e-6
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Propensities:
    """Estimated propensities.

    Attributes:
        values: Propensity of each position relative to position 1, [depth]. NaN if there is no estimate.
        pairs: Number of (query, document) pairs that the estimate is based on: those that were shown at two or more
            positions and clicked.
        clicks: Number of clicks on these pairs.
    """

    values: Floats
    pairs: int
    clicks: int


def several_positions(counts: ClickCounts) -> ClickCounts:
    """Return the cells of clicked pairs that were shown at two or more positions. Only they inform about position."""
    cells = np.bincount(counts.pairs, minlength=counts.pair_count)
    clicks = counts.by_pair(counts.clicks)
    return counts.where(((cells > 1) & (clicks > 0))[counts.pairs])


def harvest_propensities(counts: ClickCounts, depth: int) -> Propensities:
    """Estimate propensities from documents that were shown at several positions for the same query.

    Two arms of an experiment, interleaving, or two model versions show a document at different positions. These are
    interventions on the position that leave the document's relevance unchanged (Agarwal et al., WSDM 2019). Instead
    of their AllPairs objective, this maximises the likelihood of a document's clicks by position, given its total
    number of clicks (Poisson regression with one fixed effect per pair):

        sum over cells of clicks * log(shown p_k / sum over the pair's cells j of shown_j p_j)

    It compares all pairs of positions as well, weights each by its counts, and needs no estimate of the relevance. It
    is consistent if P(click) = p_k r_qd, also for documents with few impressions.

    Args:
        counts: Counts; positions are below `depth`.
        depth: Number of positions.

    Returns:
        The propensities. Positions that no chain of documents compares with position 1 have no estimate.
    """
    used = several_positions(counts)
    comparable = _comparable(used, depth)
    used = several_positions(used.where(comparable[used.positions]))
    values = np.where(comparable, 1.0, np.nan)
    clicks = used.by_position(depth)[1]
    totals = used.by_pair(used.clicks)
    for _ in range(ITERATIONS if used.pair_count else 0):
        expected = used.by_pair(used.shown * values[used.positions])
        weights = used.shown * (totals / expected)[used.pairs]
        updated = _relative(clicks, sum_by_index(used.positions, weights, depth), comparable)
        converged = _change(values, updated) < TOLERANCE
        values = updated
        if converged:
            break
    return Propensities(values, used.pair_count, int(used.clicks.sum()))


def by_em(counts: ClickCounts, depth: int) -> Propensities:
    """Estimate propensities by EM of the position-based model (Wang et al., WSDM 2018, standard EM).

    Without a click, the document was examined with probability p (1 - r) / (1 - p r), and it is attractive with
    probability (1 - p) r / (1 - p r). Wang et al. also have a form that predicts r from features. Here each pair has
    its own r, so only documents that were shown at several positions inform about position. The estimates are biased
    if most documents have few impressions; `harvested` is not.

    Args:
        counts: Counts; positions are below `depth`.
        depth: Number of positions.
    """
    used = several_positions(counts)
    comparable = _comparable(used, depth)
    used = several_positions(used.where(comparable[used.positions]))
    shown, _ = used.by_position(depth)
    pair_shown = used.by_pair(used.shown)
    values = np.where(comparable, 1 / np.arange(1, depth + 1), np.nan)
    attractive = used.by_pair(used.clicks) / np.maximum(pair_shown, 1)
    for _ in range(ITERATIONS if used.pair_count else 0):
        p, r = values[used.positions], attractive[used.pairs]
        skipped = (used.shown - used.clicks) / np.maximum(1 - p * r, _SMALLEST)
        examined = sum_by_index(used.positions, used.clicks + skipped * p * (1 - r), depth)
        attractive = used.by_pair(used.clicks + skipped * (1 - p) * r) / pair_shown
        updated = np.where(comparable, examined / np.maximum(shown, 1), np.nan)
        converged = _change(values / values[0], updated / updated[0]) < TOLERANCE
        values = updated
        if converged:
            break
    return Propensities(values / values[0], used.pair_count, int(used.clicks.sum()))


def _comparable(counts: ClickCounts, depth: int) -> npt.NDArray[np.bool_]:
    """Return which positions can be compared with position 1, [depth].

    Position j beats k if a document was clicked at j and also shown at k. The likelihood has a finite maximum for
    positions that beat position 1 and are beaten by it, directly or through others (Ford, 1957).
    """
    shape = (counts.pair_count, depth)
    clicks, shown = (csr_array((v, (counts.pairs, counts.positions)), shape) for v in (counts.clicks, counts.shown))
    _, component = connected_components((clicks.T @ shown) > 0, directed=True, connection="strong")
    comparable: npt.NDArray[np.bool_] = component == component[0]
    return comparable if comparable.sum() > 1 else np.zeros(depth, dtype=bool)


def _relative(numerator: Floats, denominator: Floats, comparable: npt.NDArray[np.bool_]) -> Floats:
    """Divide, and scale the result to 1 for position 1. NaN for positions that are not comparable."""
    ratio = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=comparable)
    relative: Floats = ratio / ratio[0]
    return relative


def _change(before: Floats, after: Floats) -> float:
    """Return the largest relative change of a propensity."""
    return float(np.nanmax(np.abs(after / before - 1)))
