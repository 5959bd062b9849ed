"""Platt scaling: hand-computed fits, known parameters, parity with scikit-learn, and extreme data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ranking.calibration.platt_scaling import fit_platt, sigmoid


def made_data(slope, offset, count, seed=1):
    """Draw scores, and relevance from the logistic model."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(1.0, 2.0, count)
    return scores, rng.random(count) < sigmoid(slope * scores + offset)


def test_two_distinct_scores_have_a_closed_form():
    # P = N = 4, so the targets are 5/6 and 1/6. Their means are 1/3 at score 0 (1 of 4 relevant) and 2/3 at score 1.
    scores = np.array([0.0] * 4 + [1.0] * 4)
    relevant = np.array([True, False, False, False, True, True, True, False])
    slope, offset = fit_platt(scores, relevant)
    assert (slope, offset) == (pytest.approx(2 * math.log(2)), pytest.approx(-math.log(2)))


@pytest.mark.parametrize(("slope", "offset"), [(1.7, -0.8), (0.3, 1.5), (-0.9, 0.4)])
def test_slope_and_offset_of_logistic_data_are_recovered(slope, offset):
    fitted = fit_platt(*made_data(slope, offset, 200_000))
    assert fitted == (pytest.approx(slope, abs=0.03), pytest.approx(offset, abs=0.03))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e4, -3e5), (1e-4, 2.0)])
def test_fit_matches_scikit_learn_on_any_scale(scale, shift):
    scores, relevant = made_data(0.8, -1.2, 300)
    positives, negatives = relevant.sum(), (~relevant).sum()
    targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # a smoothed target is a relevant pair with that weight and another pair with the remaining weight
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(scores, 2)[:, None], np.repeat([1, 0], 300), np.concatenate([targets, 1 - targets])
    )
    fitted = fit_platt(scores * scale + shift, relevant)
    expected = reference.predict_proba(scores[:, None])[:, 1]
    assert fitted.probabilities(scores * scale + shift) == pytest.approx(expected, abs=1e-5)


def test_separable_scores_give_the_smoothed_targets():
    scores, relevant = np.array([-5.0] * 10 + [5.0] * 10), np.array([False] * 10 + [True] * 10)
    probabilities = fit_platt(scores, relevant).probabilities(scores)
    assert probabilities == pytest.approx(np.where(relevant, 11 / 12, 1 / 12))


def test_equal_scores_have_slope_zero_and_the_mean_target():
    fitted = fit_platt(np.array([2.0] * 4), np.array([True, False, False, False]))
    assert fitted.slope == 0
    # targets 2/3, and 1/5 three times
    assert fitted.probabilities(np.array([2.0])) == pytest.approx((2 / 3 + 3 / 5) / 4)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), min_size=2, max_size=40))
def test_mean_probability_equals_the_mean_target(pairs):
    """The gradient of the offset is zero at the maximum of the likelihood."""
    scores, relevant = np.array([score for score, _ in pairs]), np.array([flag for _, flag in pairs])
    positives, negatives = relevant.sum(), (~relevant).sum()
    targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    assert fit_platt(scores, relevant).probabilities(scores).mean() == pytest.approx(targets.mean(), abs=1e-4)
