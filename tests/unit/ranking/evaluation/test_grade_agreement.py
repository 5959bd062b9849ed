"""Agreement of a judge with human grades, compared with known values and with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from ranking.errors import InputError
from ranking.evaluation.grade_agreement import GradedPair, agreement_of, cohen_kappa, confusion_of
from ranking.evaluation.grade_scale import scale_for

FOUR = scale_for({"q": {"d": 3}}, None)
BINARY = scale_for({"q": {"d": 1}}, None)


def pairs_of(grades):
    """Return pairs of five queries in turn."""
    return [GradedPair(f"q{n % 5}", human, judge) for n, (human, judge) in enumerate(grades)]


def test_kappa_of_a_known_table():
    """20 + 15 of 50 agree: p_o = .7; p_e = .5 * .6 + .5 * .4 = .5; kappa = .2 / .5."""
    assert cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_kappa_is_one_zero_or_undefined_in_extreme_tables():
    assert cohen_kappa(np.array([[3, 0], [0, 4]])) == pytest.approx(1)
    assert cohen_kappa(np.array([[4, 4], [4, 4]])) == pytest.approx(0)
    assert np.isnan(cohen_kappa(np.array([[5, 0], [0, 0]])))
    assert np.isnan(cohen_kappa(np.zeros((2, 2))))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_kappas_equal_those_of_scikit_learn(grades):
    agreement = agreement_of(pairs_of(grades), FOUR, 1)
    binary = [(human >= 2, judge >= 2) for human, judge in grades]
    for ours, both in ((agreement.kappa, grades), (agreement.binary_kappa, binary)):
        if len({value for pair in both for value in pair}) > 1:
            assert ours == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)))
        else:
            assert ours is None


def test_interval_contains_kappa_and_is_reproducible():
    grades = [(0, 0), (1, 0), (2, 2), (3, 2), (0, 1), (3, 3), (2, 3), (0, 0), (1, 3)]
    one, again, other = (agreement_of(pairs_of(grades), FOUR, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.binary_interval != other.binary_interval
    low, high = one.kappa_interval
    assert low <= one.kappa <= high
    assert (one.pairs, one.queries, one.relevant) == (9, 5, 2)


def test_one_query_has_no_interval_and_no_pairs_no_agreement():
    agreement = agreement_of([GradedPair("q", 0, 0), GradedPair("q", 3, 3)], FOUR, 1)
    assert (agreement.kappa, agreement.kappa_interval) == (pytest.approx(1), None)
    assert agreement_of([], FOUR, 1) is None


def test_confusion_counts_the_judges_grades_by_human_grade():
    assert confusion_of(pairs_of([(0, 0), (0, 1), (0, 1), (3, 2), (-1, 0)])) == {
        -1: [1, 0, 0, 0],
        0: [1, 2, 0, 0],
        3: [0, 0, 1, 0],
    }


def test_binary_collections_compare_relevance():
    agreement = agreement_of(pairs_of([(0, 1), (0, 0), (1, 2), (1, 3), (1, 1)]), BINARY, 1)
    expected = cohen_kappa_score([0, 0, 1, 1, 1], [0, 0, 1, 1, 0])
    assert agreement.kappa == agreement.binary_kappa == pytest.approx(expected)


@pytest.mark.parametrize(
    ("highest", "grades"), [(3, (0, 1, 2, 3)), (2, (0, 0, 1, 2)), (1, (0, 0, 1, 1)), (0, (0, 0, 1, 1))]
)
def test_scale_follows_the_highest_human_grade(highest, grades):
    scale = scale_for({"q": {"a": highest, "b": -1}}, None)
    assert scale.grades == grades
    assert [scale(grade) for grade in range(4)] == list(grades)
    assert scale.nearest(-1) == 0


def test_no_human_grades_keep_the_judges_scale():
    assert scale_for({"q": {}}, None).grades == (0, 1, 2, 3)


def test_higher_human_grades_need_a_scale():
    with pytest.raises(InputError, match=r"'evaluation\.judge\.scale': the highest human grade is 4"):
        scale_for({"q": {"d": 4}}, None)
    scale = scale_for({"q": {"d": 4}}, [1, 2, 3, 4])
    assert (scale.relevant, scale(0), scale.nearest(0)) == (3, 1, 1)
