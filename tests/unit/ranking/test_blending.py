"""Tests of blending: hand-computed scores, score scale, and the weight fitted on validation lists."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.blending import Blend, blend_scores, reciprocal_ranks
from students.blend_fit import ValidationList, fit


def test_blended_matches_hand_computed_scores():
    # z of (1, 3) is (-1, 1), z of (5, 5.5) is (-1, 1): the same order, on the student's scale
    assert blend_scores([1.0, 3.0], [5.0, 5.5], 0.3) == pytest.approx([1.0, 3.0])
    # opposite orders: 0.75 * (-1, 1) + 0.25 * (1, -1) = (-0.5, 0.5), times the student's deviation 1, plus mean 2
    assert blend_scores([1.0, 3.0], [6.0, 2.0], 0.75) == pytest.approx([1.5, 2.5])


@pytest.mark.parametrize(
    ("student", "signal", "expected"), [([2.0, 2.0], [1.0, 3.0], [1.5, 2.5]), ([1.0, 3.0], [4.0, 4.0], [1.5, 2.5])]
)
def test_constant_scores_have_no_influence(student, signal, expected):
    assert blend_scores(student, signal, 0.5) == pytest.approx(expected)


def test_empty_lists_and_different_lengths():
    assert blend_scores([], [], 0.5) == []
    with pytest.raises(ValueError, match="2 student scores and 1 first-stage scores"):
        blend_scores([1.0, 2.0], [1.0], 0.5)


def test_reciprocal_ranks_follow_the_scores():
    assert reciprocal_ranks([0.1, 0.9, 0.5, 0.9]) == [1 / 4, 1 / 1, 1 / 3, 1 / 2]


SCORES = st.lists(st.floats(-50, 50), min_size=1, max_size=20)


@given(SCORES, st.randoms())
def test_weight_one_returns_student_scores(scores, random):
    first_stage = [random.random() for _ in scores]
    for form in ("scores", "ranks"):
        blend = Blend(form=form, weights={form: 1.0})
        assert blend.apply(scores, first_stage) == pytest.approx(scores, abs=1e-9)


@given(SCORES, st.floats(0, 1), st.floats(-10, 10), st.floats(0.01, 100))
def test_first_stage_scale_has_no_influence(scores, weight, shift, factor):
    first_stage = [math.sin(i) for i in range(len(scores))]
    rescaled = [shift + factor * score for score in first_stage]
    assert blend_scores(scores, rescaled, weight) == pytest.approx(blend_scores(scores, first_stage, weight), abs=1e-6)


def test_order_without_scores_uses_ranks():
    blend = Blend(form="scores", weights={"scores": 0.2, "ranks": 0.5})
    assert blend.apply_order([3.0, 1.0, 2.0]) == blend.apply([3.0, 1.0, 2.0], [9.0, 8.0, 7.0], "ranks")
    assert str(blend) == "scores, w = 0.2"


def test_fit_finds_a_helpful_weight():
    # the student swaps the best document with one that the first stage ranks last
    improvable = ValidationList(
        student=[1.0, 1.1, 0.0, -1.0], first_stage=[4.0, 1.0, 3.0, 2.0], targets=[3.0, 0.0, 0.0, 0.0]
    )
    result = fit([improvable])
    assert result.blend.weight < 1.0
    assert (result.alone, result.blended) == (pytest.approx(1 / math.log2(3)), 1.0)
    # a student that agrees with the teacher gets weight 1, because ties prefer the student alone
    alone = fit([ValidationList(student=[3.0, 2.0, 1.0], first_stage=[1.0, 2.0, 3.0], targets=[2.0, 1.0, 0.0])])
    assert alone.blend.weights == {"scores": 1.0, "ranks": 1.0}
    with pytest.raises(ValueError, match="at least one validation list"):
        fit([])
