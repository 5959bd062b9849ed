"""Tests of the promotion decision: budget, preference for cheaper students, superiority and non-inferiority checks."""

import pytest

from ranking.evaluation.decision import Rules, alternatives, decide, served_systems
from ranking.evaluation.results import CheckResult, ComparisonResult, Latency, Parity, SystemResult


def system(kind, name, value, ms=None, candidates="fused", passed=True, student=None):
    """Return the result of a system with `value` as nDCG@10. Only systems with a latency get a parity check."""
    return SystemResult(
        kind=kind,
        system=name,
        candidates=candidates,
        student=student,
        measures={"nDCG@10": value},
        latency_ms=Latency(p50=ms, p95=ms * 1.2) if ms else None,
        parity=None if ms is None else Parity(difference=0.0 if passed else 0.5, passed=passed),
    )


def compared(key, other, delta, p):
    """Return a comparison of two systems."""
    return ComparisonResult(system=key, baseline=other, measure="nDCG@10", delta=delta, p=p, interval=(0, 0))


def superiority(delta=0.1, p=0.01, passed=True):
    """Return a superiority check against the baseline."""
    return CheckResult(against="fused", test="superiority", delta=delta, p=p, lower=delta - 0.05, passed=passed)


def non_inferiority(other, delta=0.05, lower=0.01, passed=True):
    """Return a non-inferiority check."""
    return CheckResult(against=other, test="non-inferiority", delta=delta, p=0.2, lower=lower, passed=passed)


FIRST = {
    "fused": system("first_stage", "fused", 0.35, candidates=None),
    "dense": system("first_stage", "dense", 0.42, candidates=None),
    "pre-ranker@fused": system("pre_ranker", "pre-ranker", 0.42),
}
DENSE_BEATS_FUSED = compared("dense", "fused", 0.07, 0.001)


def decide_among(students, checks, comparisons=(), pairwise=(), budget=None):
    """Decide among students, with the first stages as alternatives."""
    return decide(
        {**FIRST, **students},
        list(comparisons),
        list(pairwise),
        Rules("fused", "fused", 0.05, budget),
        lambda key: checks[key],
    )


def test_student_that_passes_all_checks_is_promoted():
    decision = decide_among(
        {"s@fused": system("student", "s", 0.5, 10)}, {"s@fused": [superiority(), non_inferiority("dense")]}
    )
    assert (decision.champion, decision.promoted, decision.deploy) == ("s", True, "s@fused")
    assert decision.reason == "s beats fused: nDCG@10 0.500 against 0.350, p = 0.0100."
    assert [check.against for check in decision.checks] == ["fused", "dense"]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (superiority(-0.1, 0.01, False), "it does not beat fused: nDCG@10 0.500 against 0.350, p = 0.0100"),
        (superiority(0.02, 0.2, False), "it does not significantly beat fused: "),
    ],
)
def test_no_promotion_without_significant_gain_over_baseline(check, expected):
    decision = decide_among({"s@fused": system("student", "s", 0.5, 10)}, {"s@fused": [check]})
    assert (decision.champion, decision.promoted, decision.deploy) == ("s", False, "fused")
    assert expected in decision.reason
    assert decision.reason.endswith("Deploy fused instead (nDCG@10 0.350).")


def test_student_worse_than_its_base_is_not_promoted():
    systems = {"s@fused": system("student", "s", 0.40, 10), "s.base@fused": system("base", "s.base", 0.45, student="s")}
    checks = [superiority(0.05, 0.001), non_inferiority("s.base@fused", -0.05, -0.08, False)]
    decision = decide_among(
        systems, {"s@fused": checks}, [DENSE_BEATS_FUSED, compared("s.base@fused", "fused", 0.1, 0.0001)]
    )
    assert (decision.champion, decision.promoted, decision.deploy) == ("s", False, "s.base@fused")
    assert (
        "it is worse than s.base@fused: nDCG@10 0.400 against 0.450, lower bound of the difference -0.080"
        in decision.reason
    )


def test_unproven_non_inferiority_prevents_promotion():
    decision = decide_among(
        {"s@fused": system("student", "s", 0.43, 10)},
        {"s@fused": [superiority(), non_inferiority("dense", 0.01, -0.03, False)]},
        [DENSE_BEATS_FUSED],
    )
    assert (decision.promoted, decision.deploy) == (False, "dense")
    assert "it is not proven to be as good as dense" in decision.reason


def test_alternative_must_be_significantly_better_than_baseline():
    decision = decide_among(
        {"s@fused": system("student", "s", 0.3, 10)},
        {"s@fused": [superiority(-0.05, 0.5, False)]},
        [compared("dense", "fused", 0.07, 0.3)],
    )
    assert decision.deploy == "fused"


def test_student_with_blend_competes_as_served():
    systems = {
        "s@fused": system("student", "s", 0.6, 10),
        "s.blended@fused": system("blended", "s.blended", 0.5, 10, student="s"),
        "t@fused": system("student", "t", 0.4, 10),
        "u@bm25": system("student", "u", 0.9, 10, candidates="bm25"),
    }
    assert list(served_systems(systems, "fused")) == ["s.blended@fused", "t@fused"]
    decision = decide_among(systems, {"s.blended@fused": [superiority()]})
    assert (decision.champion, decision.deploy) == ("s", "s.blended@fused")


def test_alternatives_are_first_stages_pre_ranker_and_own_base():
    systems = {
        **FIRST,
        "s.base@fused": system("base", "s.base", 0.4, student="s"),
        "t.base@fused": system("base", "t.base", 0.4, student="t"),
        "teacher@fused": system("teacher", "teacher", 0.7),
        "pre-ranker@bm25": system("pre_ranker", "pre-ranker", 0.3, candidates="bm25"),
    }
    assert alternatives(systems, "fused", "s") == ["fused", "dense", "pre-ranker@fused", "s.base@fused"]


def test_no_students_means_no_promotion():
    assert decide_among({}, {}).reason == "There is no student to promote."


SLOW_GOOD = {"big@fused": system("student", "big", 0.62, 80), "small@fused": system("student", "small", 0.60, 8)}
BOTH_PASS = {"big@fused": [superiority()], "small@fused": [superiority()]}


@pytest.mark.parametrize(("p", "winner"), [(0.3, "small"), (0.01, "big")])
def test_cheaper_student_wins_unless_significantly_worse(p, winner):
    decision = decide_among(SLOW_GOOD, BOTH_PASS, pairwise=[compared("big@fused", "small@fused", 0.02, p)])
    assert (decision.champion, decision.promoted) == (winner, True)
    assert ("big is slower and not significantly better (0.620)" in decision.reason) == (winner == "small")


@pytest.mark.parametrize(("budget", "winner"), [(100, "big"), (50, "small"), (96, "big"), (95.9, "small")])
def test_best_student_within_budget_wins(budget, winner):
    decision = decide_among(
        SLOW_GOOD, BOTH_PASS, pairwise=[compared("big@fused", "small@fused", 0.02, 0.001)], budget=budget
    )
    assert decision.champion == winner


def test_fastest_student_is_named_if_all_exceed_the_budget():
    decision = decide_among(SLOW_GOOD, BOTH_PASS, budget=5)
    assert decision.champion is None
    assert decision.reason == (
        "No student meets the latency budget of 5 ms: the fastest, small, takes 10 ms (p95, 50 documents). "
        "Deploy fused."
    )


def test_student_that_fails_score_parity_is_never_promoted():
    broken = {"big@fused": system("student", "big", 0.9, 80, passed=False)}
    decision = decide_among(broken, BOTH_PASS)
    assert (decision.champion, decision.promoted) == (None, False)
    assert decision.reason == "Score parity failed for big: scores differ from those recorded when saved. Deploy fused."
    with_valid_student = decide_among({**broken, "small@fused": SLOW_GOOD["small@fused"]}, BOTH_PASS)
    assert (with_valid_student.champion, with_valid_student.promoted) == ("small", True)


def test_cheaper_student_must_equal_the_best_one():
    three = {**SLOW_GOOD, "tiny@fused": system("student", "tiny", 0.4, 1)}
    pairwise = [
        compared("big@fused", "small@fused", 0.02, 0.01),
        compared("big@fused", "tiny@fused", 0.2, 0.001),
        compared("small@fused", "tiny@fused", 0.2, 0.6),
    ]
    assert decide_among(three, BOTH_PASS, pairwise=pairwise).champion == "big"
