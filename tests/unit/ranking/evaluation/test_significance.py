"""Tests of the significance tests: exact enumeration, hand-computed values, and simulated power."""

import gc
import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.evaluation.significance import compare, detectable, holm, queries_needed


def test_randomisation_test_matches_exact_enumeration():
    system, baseline = {"a": 0.5, "b": 0.7, "c": 0.9, "d": 0.4}, {"a": 0.4, "b": 0.5, "c": 0.6, "d": 0.5}
    differences = [system[q] - baseline[q] for q in system]
    observed = abs(sum(differences))
    flips = [sum(d if i >> k & 1 else -d for k, d in enumerate(differences)) for i in range(16)]
    exact = sum(abs(flip) >= observed - 1e-9 for flip in flips) / 16
    comparison = compare(system, baseline, 20_000, seed=1)
    assert comparison.p == pytest.approx(exact, abs=0.015)
    assert comparison.delta == pytest.approx(sum(differences) / 4)
    assert comparison.interval[0] <= comparison.delta <= comparison.interval[1]
    spread = math.sqrt(sum((d - comparison.delta) ** 2 for d in differences) / 3)
    assert comparison.effect == pytest.approx(comparison.delta / spread)
    assert comparison.detectable == pytest.approx(detectable(spread, 4, 0.05))


def test_no_difference_is_not_significant():
    same = {"a": 0.5, "b": 0.7}
    comparison = compare(same, same, 1000, seed=1)
    assert (comparison.p, comparison.effect, comparison.detectable) == (1.0, None, 0.0)


def test_different_queries_are_an_error():
    with pytest.raises(ValueError, match="same queries"):
        compare({"a": 1.0}, {"b": 1.0}, 100, seed=1)


def test_holm_matches_hand_computed_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.fixture(scope="module")
def frozen_objects():
    """Exempt all existing objects from garbage collection: statsmodels' multipletests collects garbage at each call."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_objects")
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotonic_and_matches_bonferroni_on_the_smallest(ps):
    corrected = holm(ps)
    assert all(p <= c <= 1.0 for p, c in zip(ps, corrected, strict=True))
    assert min(corrected) == pytest.approx(min(1.0, min(ps) * len(ps)))
    by_p = [c for _, c in sorted(zip(ps, corrected, strict=True))]
    assert by_p == sorted(by_p)


def test_detectable_difference_is_found_in_80_percent_of_samples():
    rng, queries, spread = random.Random(3), 60, 0.25
    true = detectable(spread, queries, 0.05)
    assert true == pytest.approx((1.959964 + 0.841621) * spread / math.sqrt(queries), abs=1e-6)
    detected = 0
    for draw in range(300):
        system = {str(q): rng.gauss(true, spread) for q in range(queries)}
        detected += compare(system, dict.fromkeys(system, 0.0), 400, seed=draw).p < 0.05
    assert detected / 300 == pytest.approx(0.8, abs=0.07)


def test_queries_needed_is_minimal():
    needed = queries_needed(0.3, 0.02, 0.05)
    assert detectable(0.3, needed, 0.05) <= 0.02 < detectable(0.3, needed - 1, 0.05)
    assert needed == math.ceil(((NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)) * 0.3 / 0.02) ** 2)
