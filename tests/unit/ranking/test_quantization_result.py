"""The non-inferiority test of int8."""

import pytest

from ranking.quantization_result import MARGIN, judge

QUERIES = [f"q{n}" for n in range(40)]


def judged(difference):
    """Judge int8 values that differ from 0.8 by `difference(n)` on query n."""
    before = dict.fromkeys(QUERIES, 0.8)
    return judge(before, {q: 0.8 + difference(n) for n, q in enumerate(QUERIES)}, 256, (42, 40), "bf16")


@pytest.mark.parametrize(("loss", "accepted"), [(0.0, True), (0.004, True), (0.006, False)])
def test_equal_loss_on_every_query_is_compared_with_the_margin(loss, accepted):
    result = judged(lambda n: -loss)
    assert (result.accepted, result.delta, result.lower) == (accepted, pytest.approx(-loss), pytest.approx(-loss))
    assert (result.ndcg_before, result.ndcg) == (pytest.approx(0.8), pytest.approx(0.8 - loss))


def test_no_mean_loss_is_rejected_if_the_queries_differ_too_much():
    result = judged(lambda n: 0.1 if n % 2 else -0.1)
    # a standard deviation of 0.1 over 40 queries: the lower bound is about 1.645 * 0.1 / sqrt(40) below 0
    assert result.delta == pytest.approx(0)
    assert result.lower == pytest.approx(-0.026, abs=0.004)
    assert not result.accepted


def test_nan_is_rejected():
    assert not judged(lambda n: float("nan")).accepted


def test_numbers_name_the_bound_and_the_margin():
    assert judged(lambda n: -0.004).numbers == (
        "nDCG@10 0.7960 in int8, 0.8000 in bf16 on 40 validation queries, lower bound of the difference -0.0040, "
        f"margin {MARGIN:g}"
    )
