"""Scores from pairwise comparisons: Bradley-Terry strengths compared with known ones, and win rates."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from ranking.labels.comparison_scores import PairComparison, bradley_terry, win_rates


def test_known_strengths_are_recovered_from_their_win_probabilities():
    strengths = [1.5, 0.5, 0.0, -0.5, -1.5]
    comparisons = [
        PairComparison(i, j, float(expit(strengths[i] - strengths[j]))) for i, j in itertools.combinations(range(5), 2)
    ]
    assert bradley_terry(comparisons, 5, penalty=1e-9) == pytest.approx(strengths, abs=1e-5)


def test_strengths_of_two_documents_equal_the_closed_form():
    # 3 wins of 4: without penalty, the difference of the strengths is log 3
    comparisons = [PairComparison(0, 1, share) for share in (1.0, 1.0, 0.5, 0.5)]
    first, second = bradley_terry(comparisons, 2, penalty=1e-9)
    assert first - second == pytest.approx(math.log(3), abs=1e-5)
    assert first + second == pytest.approx(0, abs=1e-9)


def test_strengths_equal_those_of_a_general_optimizer():
    results = [(0, 1, 1.0), (1, 2, 0.5), (2, 3, 1.0), (0, 3, 0.0), (4, 0, 0.7), (4, 2, 1.0), (1, 4, 0.2)]
    comparisons = [PairComparison(*result) for result in results]

    def loss(s):
        likelihood = sum(
            p * math.log(expit(s[i] - s[j])) + (1 - p) * math.log(expit(s[j] - s[i])) for i, j, p in results
        )
        return 0.05 * (s**2).sum() - likelihood

    expected = minimize(loss, [0.0] * 5, tol=1e-12).x
    assert bradley_terry(comparisons, 5, penalty=0.1) == pytest.approx(list(expected), abs=1e-4)


def test_document_that_never_loses_has_a_finite_strength_and_is_first():
    scores = bradley_terry([PairComparison(2, other, 1.0) for other in (0, 1, 3)], 4)
    assert max(scores) == scores[2] < 10
    assert scores[0] == pytest.approx(scores[1]) == pytest.approx(scores[3])


def test_document_without_comparisons_is_in_the_middle():
    comparisons = [PairComparison(0, 2, 1.0)]
    scores = bradley_terry(comparisons, 3)
    assert scores == pytest.approx([scores[0], 0, -scores[0]])
    assert scores[0] > 0.5
    assert win_rates(comparisons, 3) == [1.0, 0.5, 0.0]


def test_win_rate_counts_ties_as_half_wins():
    comparisons = [PairComparison(0, 1, 1.0), PairComparison(0, 2, 0.5), PairComparison(1, 2, 0.25)]
    assert win_rates(comparisons, 3) == [0.75, 0.125, (0.5 + 0.75) / 2]


def test_no_comparisons_give_equal_scores():
    assert bradley_terry([], 1) == [0.0]
    assert bradley_terry([], 3) == [0.0, 0.0, 0.0]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])), max_size=40).map(
        lambda rows: [row for row in rows if row[0] != row[1]]
    ),
    st.permutations(range(5)),
)
def test_strengths_do_not_depend_on_the_numbering_of_documents(results, permutation):
    scores = bradley_terry([PairComparison(*result) for result in results], 5)
    renamed = bradley_terry([PairComparison(permutation[i], permutation[j], p) for i, j, p in results], 5)
    assert [renamed[permutation[index]] for index in range(5)] == pytest.approx(scores, abs=1e-6)
    assert sum(scores) == pytest.approx(0, abs=1e-6)
