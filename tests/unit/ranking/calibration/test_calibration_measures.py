"""Hand-computed calibration error, Brier score and threshold table."""

import numpy as np
import pytest

from ranking.calibration.calibration_measures import brier_score, expected_calibration_error, threshold_table

PROBABILITIES = np.array([0.9, 0.1, 0.8, 0.3])
RELEVANT = np.array([True, False, False, False])


def test_calibration_error_of_two_bins():
    # bins {0.1, 0.3} with 0 of 2 relevant and {0.8, 0.9} with 1 of 2: (2 * 0.2 + 2 * 0.35) / 4
    assert expected_calibration_error(PROBABILITIES, RELEVANT, bins=2) == pytest.approx(0.275)
    assert expected_calibration_error(PROBABILITIES, RELEVANT, bins=1) == pytest.approx(0.525 - 0.25)


def test_calibration_error_is_zero_if_shares_match():
    probabilities = np.array([0.25] * 4 + [0.75] * 4)
    relevant = np.array([True, False, False, False, False, True, True, True])
    for bins in (2, 3, 10):  # equal probabilities share a bin
        assert expected_calibration_error(probabilities, relevant, bins) == pytest.approx(0)


def test_brier_score_is_the_mean_squared_difference():
    assert brier_score(PROBABILITIES, RELEVANT) == pytest.approx((0.01 + 0.01 + 0.64 + 0.09) / 4)


def test_threshold_table_counts_kept_documents():
    rows = {row.threshold: row for row in threshold_table(PROBABILITIES, RELEVANT)}
    assert list(rows) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert (rows[0.3].precision, rows[0.3].recall, rows[0.3].kept) == (pytest.approx(1 / 3), 1.0, 0.75)
    assert (rows[0.5].precision, rows[0.5].recall, rows[0.5].kept) == (0.5, 1.0, 0.5)
    assert (rows[0.9].precision, rows[0.9].recall, rows[0.9].kept) == (1.0, 1.0, 0.25)
    (*_, last) = threshold_table(PROBABILITIES / 2, RELEVANT)
    assert (last.precision, last.recall, last.kept) == (None, 0.0, 0.0)
