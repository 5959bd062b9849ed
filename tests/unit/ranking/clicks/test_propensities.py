"""Propensities and debiased relevance recover those of simulated users."""

import numpy as np
import pytest

from ranking.clicks.click_counts import ClickCounts, concatenate, counts_of
from ranking.clicks.click_relevance import debias
from ranking.clicks.propensities import by_em, harvest_propensities
from tests.testing.simulated_users import DEPTH, position_based_counts

TRUE = 1 / np.arange(1, DEPTH + 1) ** 0.8


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("estimate", [harvest_propensities, by_em])
def test_propensities_are_within_ten_percent(estimate, seed):
    cells, _ = position_based_counts(np.random.default_rng(seed), TRUE, queries=400, impressions=300)
    estimated = estimate(counts_of(cells), DEPTH)
    assert estimated.values == pytest.approx(TRUE, rel=0.1)


def test_harvesting_is_not_biased_by_single_impressions():
    cells, _ = position_based_counts(np.random.default_rng(1), TRUE, queries=20_000, impressions=1)
    assert harvest_propensities(counts_of(cells), DEPTH).values == pytest.approx(TRUE, rel=0.1)


def test_click_rates_alone_are_further_off_than_the_estimate():
    cells, _ = position_based_counts(np.random.default_rng(1), TRUE, queries=400, impressions=300)
    shown, clicks = counts_of(cells).by_position(DEPTH)
    naive = (clicks / shown) / (clicks[0] / shown[0])
    assert abs(naive[-1] / TRUE[-1] - 1) > 0.3


@pytest.mark.parametrize("estimate", [harvest_propensities, by_em])
def test_exact_counts_give_the_exact_ratio(estimate):
    # attractiveness .4 and .2, examination 1 and .5
    cells = [(0, 0, 1000, 400), (0, 1, 1000, 200), (1, 0, 500, 100), (1, 1, 2000, 200)]
    estimated = estimate(counts_of(cells), 2)
    assert estimated.values == pytest.approx([1.0, 0.5], rel=1e-3)
    assert (estimated.pairs, estimated.clicks) == (2, 900)


@pytest.mark.parametrize("estimate", [harvest_propensities, by_em])
def test_positions_that_cannot_be_compared_have_no_estimate(estimate):
    compared = [(0, 0, 100, 40), (0, 1, 100, 20)]
    apart = [(1, 2, 100, 10), (1, 3, 100, 5)]  # compared with each other, but not with position 1
    never_clicked_below = [(2, 0, 100, 10), (2, 4, 100, 0)]
    estimated = estimate(counts_of([*compared, *apart, *never_clicked_below]), 5)
    assert np.isfinite(estimated.values).tolist() == [True, True, False, False, False]
    assert (estimated.pairs, estimated.clicks) == (1, 60)


@pytest.mark.parametrize("estimate", [harvest_propensities, by_em])
@pytest.mark.parametrize("cells", [[], [(0, 0, 100, 40), (1, 1, 100, 20)], [(0, 0, 10, 0), (0, 1, 10, 0)]])
def test_no_document_at_two_positions_gives_no_estimate(estimate, cells):
    estimated = estimate(counts_of(cells), 3)
    assert np.isnan(estimated.values).all()
    assert (estimated.pairs, estimated.clicks) == (0, 0)


def test_debiased_relevance_is_within_ten_percent():
    cells, attractive = position_based_counts(np.random.default_rng(1), TRUE, queries=20, impressions=30_000)
    counts = counts_of(cells)
    assert debias(counts, TRUE, 100.0).relevance == pytest.approx(attractive, rel=0.1)
    raw = np.bincount(counts.pairs, counts.clicks) / np.bincount(counts.pairs, counts.shown)
    assert np.median(raw / attractive) < 0.6


def test_debiased_relevance_by_hand():
    counts = counts_of([(0, 0, 10, 4), (0, 1, 10, 2), (1, 1, 8, 0), (2, 2, 5, 1)])
    found = debias(counts, np.array([1.0, 0.5, np.nan]), 10.0)
    assert found.relevance[:2].tolist() == [(4 + 2 / 0.5) / 20, 0.0]
    assert np.isnan(found.relevance[2])
    assert found.shown.tolist() == [20, 8, 0]
    assert found.clicks.tolist() == [6, 0, 0]
    assert found.examined.tolist() == [15, 4, 0]


def test_clipping_keeps_the_expectation():
    propensities = np.array([1.0, 0.1])
    counts = counts_of([(0, 0, 1000, 400), (0, 1, 1000, 40)])
    assert debias(counts, propensities, 2.0).relevance[0] == pytest.approx(0.4)
    # a click at position 2 counts at most twice as much as one at position 1
    lucky = debias(counts_of([(0, 0, 10, 0), (0, 1, 10, 1)]), propensities, 2.0).relevance[0]
    assert lucky == pytest.approx(2 / 12)


def test_concatenation_numbers_the_pairs_of_all_parts():
    first, second = counts_of([(0, 0, 1, 1), (1, 0, 1, 0)]), counts_of([(0, 2, 5, 3)])
    whole = concatenate([first, second])
    assert whole.pairs.tolist() == [0, 1, 2]
    assert whole.positions.tolist() == [0, 0, 2]
    assert isinstance(whole, ClickCounts)
    assert concatenate([]).pair_count == 0
