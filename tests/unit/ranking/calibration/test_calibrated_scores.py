"""Calibration on validation queries: measures, cross-validation, refusals, and the unchanged order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.blending import Blend
from ranking.calibration.calibrated_scores import CalibrationError, QueryScores, fit_calibration, has_enough
from ranking.calibration.calibration_measures import brier_score, expected_calibration_error, threshold_table
from ranking.calibration.platt_scaling import fit_platt, sigmoid


def made_queries(slope=1.5, offset=-1.0, queries=200, documents=20, seed=3):
    """Draw queries whose relevance follows a logistic model of the score."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(queries):
        scores = rng.normal(0.5, 1.5, documents)
        relevant = rng.random(documents) < sigmoid(slope * scores + offset)
        rows.append(QueryScores(f"q{number:03}", scores.tolist(), relevant.tolist()))
    return rows


def test_calibration_recovers_the_model_and_lowers_the_error():
    calibration = fit_calibration(made_queries(), "teacher")
    assert calibration.slope == pytest.approx(1.5, abs=0.1)
    assert calibration.offset == pytest.approx(-1.0, abs=0.1)
    assert calibration.ece < 0.03 < 0.1 < calibration.ece_before
    assert calibration.brier < calibration.brier_before
    assert (calibration.queries, calibration.pairs) == (200, 4000)
    assert calibration.relevant == sum(sum(query.relevant) for query in made_queries())
    assert calibration.relevance == "the teacher's labels"


def test_measures_use_fits_on_the_other_queries():
    first, second = made_queries(queries=2, documents=60)
    calibration = fit_calibration([second, first], "judgements", 2)
    arrays = [(np.array(query.scores), np.array(query.relevant)) for query in (first, second)]
    probabilities = np.concatenate(
        [fit_platt(*arrays[1]).probabilities(arrays[0][0]), fit_platt(*arrays[0]).probabilities(arrays[1][0])]
    )
    relevant = np.concatenate([flags for _, flags in arrays])
    assert calibration.ece == pytest.approx(expected_calibration_error(probabilities, relevant))
    assert calibration.brier == pytest.approx(brier_score(probabilities, relevant))
    assert calibration.thresholds == threshold_table(probabilities, relevant)
    raw = np.concatenate([scores for scores, _ in arrays])
    assert (calibration.slope, calibration.offset) == pytest.approx(fit_platt(raw, relevant))
    assert calibration.relevance == "human judgements of grade 2 or more"


def test_scores_that_fall_with_relevance_are_refused():
    with pytest.raises(CalibrationError, match=r"relevant documents have lower scores .* would reverse the order"):
        fit_calibration(made_queries(slope=-1.5), "teacher")


def test_scores_without_information_are_refused():
    constant = [QueryScores(q, [2.0] * 30, [True] * 15 + [False] * 15) for q in "ab"]
    with pytest.raises(CalibrationError, match=r"the scores hardly depend on relevance \(slope 0\)"):
        fit_calibration(constant, "teacher")


@pytest.mark.parametrize(
    ("relevant", "others", "message"),
    [(9, 50, "have 9 relevant and 50 other documents"), (50, 9, "have 50 relevant and 9 other documents")],
)
def test_too_few_documents_of_a_class_are_refused(relevant, others, message):
    rows = [
        QueryScores("a", [1.0] * relevant, [True] * relevant),
        QueryScores("b", [0.0] * others, [False] * others),
    ]
    assert not has_enough(rows)
    with pytest.raises(CalibrationError, match=rf"{message}, and at least 10 of each are needed; label more queries"):
        fit_calibration(rows, "teacher")


def test_a_single_query_or_nan_scores_are_refused():
    (one,) = made_queries(queries=1, documents=100)
    empty = QueryScores("empty", [], [])
    assert not has_enough([one, empty])
    with pytest.raises(CalibrationError, match="there is only one validation query"):
        fit_calibration([one, empty], "teacher")
    two = made_queries(queries=2, documents=60)
    assert has_enough(two)
    two[0].scores[3] = float("nan")
    with pytest.raises(CalibrationError, match="a score of a validation pair is NaN or infinite"):
        fit_calibration(two, "teacher")


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30),
    st.floats(0.05, 5),
    st.floats(-3, 3),
    st.integers(0, 100),
)
def test_calibrated_scores_keep_the_order(scores, slope, offset, seed):
    try:
        calibration = fit_calibration(made_queries(slope, offset, queries=10, seed=seed), "teacher")
    except CalibrationError:
        return  # the raw scores are kept
    raw = np.array(scores, dtype=np.float32)
    calibrated = raw * np.float32(calibration.slope) + np.float32(calibration.offset)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(calibrated[order]) >= 0).all()
    clearly = np.diff(raw[order]) > 1e-3
    assert (np.diff(calibrated[order])[clearly] > 0).all()


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=20),
    st.floats(0.1, 5),
    st.floats(-5, 5),
    st.floats(0, 1),
    st.sampled_from(["scores", "ranks"]),
)
def test_blending_commutes_with_calibration(scores, slope, offset, weight, form):
    """So the weight that was fitted on raw scores is right for calibrated ones, and the blended order is the same."""
    blend = Blend(form=form, weights={form: weight})
    scores = [round(score, 3) for score in scores]
    first_stage = [float(np.sin(i)) for i in range(len(scores))]
    calibrated = blend.apply([slope * score + offset for score in scores], first_stage)
    if len(set(scores)) > 1:  # equal scores have no standard deviation, and the signal is then not rescaled
        expected = [slope * score + offset for score in blend.apply(scores, first_stage)]
        assert calibrated == pytest.approx(expected, abs=1e-6)
    else:
        raw = blend.apply(scores, first_stage)
        assert np.argsort(np.round(calibrated, 9)).tolist() == np.argsort(np.round(raw, 9)).tolist()
