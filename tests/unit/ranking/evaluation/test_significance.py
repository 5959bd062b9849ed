"""Tests of significance: against all sign flips, by hand, and by what they promise."""

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.evaluation.significance import compare, detectable, holm, queries_needed


def test_randomisation_test_agrees_with_all_sign_flips():
    system, control = {"a": 0.5, "b": 0.7, "c": 0.9, "d": 0.4}, {"a": 0.4, "b": 0.5, "c": 0.6, "d": 0.5}
    differences = [system[q] - control[q] for q in system]
    seen = abs(sum(differences))
    flips = [sum(d if i >> k & 1 else -d for k, d in enumerate(differences)) for i in range(16)]
    exact = sum(abs(flip) >= seen - 1e-9 for flip in flips) / 16
    found = compare(system, control, 20_000, seed=1)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert found.delta == pytest.approx(sum(differences) / 4)
    assert found.interval[0] <= found.delta <= found.interval[1]
    spread = math.sqrt(sum((d - found.delta) ** 2 for d in differences) / 3)
    assert found.effect == pytest.approx(found.delta / spread)
    assert found.detectable == pytest.approx(detectable(spread, 4, 0.05))


def test_no_difference_is_not_significant():
    same = {"a": 0.5, "b": 0.7}
    found = compare(same, same, 1000, seed=1)
    assert (found.p, found.effect, found.detectable) == (1.0, None, 0.0)


def test_different_queries_cannot_be_paired():
    with pytest.raises(ValueError, match="same queries"):
        compare({"a": 1.0}, {"b": 1.0}, 100, seed=1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_makes_nothing_smaller_and_agrees_with_bonferroni_on_the_smallest(ps):
    corrected = holm(ps)
    assert all(p <= c <= 1.0 for p, c in zip(ps, corrected, strict=True))
    assert min(corrected) == pytest.approx(min(1.0, min(ps) * len(ps)))
    by_p = [c for _, c in sorted(zip(ps, corrected, strict=True))]
    assert by_p == sorted(by_p)


def test_what_is_called_detectable_is_seen_in_four_of_five_draws():
    rng, queries, spread = random.Random(3), 60, 0.25
    true = detectable(spread, queries, 0.05)
    assert true == pytest.approx((1.959964 + 0.841621) * spread / math.sqrt(queries), abs=1e-6)
    seen = 0
    for draw in range(300):
        system = {str(q): rng.gauss(true, spread) for q in range(queries)}
        seen += compare(system, dict.fromkeys(system, 0.0), 400, seed=draw).p < 0.05
    assert seen / 300 == pytest.approx(0.8, abs=0.07)


def test_queries_needed_is_the_least_number_that_shows_a_difference():
    needed = queries_needed(0.3, 0.02, 0.05)
    assert detectable(0.3, needed, 0.05) <= 0.02 < detectable(0.3, needed - 1, 0.05)
    assert needed == math.ceil(((NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)) * 0.3 / 0.02) ** 2)
