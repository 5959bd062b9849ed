"""The promotion decision: the best within the budget, the cheaper of equals, and never what is worse than what it replaces."""

import pytest

from ranking.evaluation.decision import Rules, alternatives, decide, served
from ranking.evaluation.results import CheckResult, ComparisonResult, Latency, Parity, SystemResult


def system(kind, name, value, ms=None, candidates="fused", passed=True, student=None):
    return SystemResult(
        kind=kind,
        system=name,
        candidates=candidates,
        student=student,
        measures={"nDCG@10": value},
        latency_ms=Latency(p50=ms, p95=ms * 1.2) if ms else None,
        parity=None if ms is None else Parity(difference=0.0 if passed else 0.5, passed=passed),
    )


def against(key, other, delta, p):
    return ComparisonResult(system=key, control=other, measure="nDCG@10", delta=delta, p=p, interval=(0, 0))


def superior(delta=0.1, p=0.01, passed=True):
    return CheckResult(against="fused", test="superiority", delta=delta, p=p, lower=delta - 0.05, passed=passed)


def not_inferior(other, delta=0.05, lower=0.01, passed=True):
    return CheckResult(against=other, test="non-inferiority", delta=delta, p=0.2, lower=lower, passed=passed)


FIRST = {
    "fused": system("first_stage", "fused", 0.35, candidates=None),
    "dense": system("first_stage", "dense", 0.42, candidates=None),
    "pre-ranker@fused": system("pre_ranker", "pre-ranker", 0.42),
}
DENSE_BEATS_FUSED = against("dense", "fused", 0.07, 0.001)


def decided(students, checks, comparisons=(), duels=(), budget=None):
    return decide(
        {**FIRST, **students},
        list(comparisons),
        list(duels),
        Rules("fused", "fused", 0.05, budget),
        lambda key: checks[key],
    )


def test_a_student_that_passes_every_check_is_promoted_and_deployed():
    found = decided({"s@fused": system("student", "s", 0.5, 10)}, {"s@fused": [superior(), not_inferior("dense")]})
    assert (found.champion, found.promoted, found.deploy) == ("s", True, "s@fused")
    assert found.reason == "s beats fused: nDCG@10 0.500 against 0.350, p = 0.0100."
    assert [check.against for check in found.checks] == ["fused", "dense"]


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (superior(-0.1, 0.01, False), "it does not beat fused: nDCG@10 0.500 against 0.350, p = 0.0100"),
        (superior(0.02, 0.2, False), "it does not significantly beat fused: "),
    ],
)
def test_without_a_significant_gain_over_the_baseline_nothing_is_promoted(check, words):
    found = decided({"s@fused": system("student", "s", 0.5, 10)}, {"s@fused": [check]})
    assert (found.champion, found.promoted, found.deploy) == ("s", False, "fused")
    assert words in found.reason
    assert found.reason.endswith("Deploy fused instead (nDCG@10 0.350).")


def test_training_that_made_the_base_worse_is_not_promoted_though_it_beats_the_first_stage():
    systems = {"s@fused": system("student", "s", 0.40, 10), "s.base@fused": system("base", "s.base", 0.45, student="s")}
    checks = [superior(0.05, 0.001), not_inferior("s.base@fused", -0.05, -0.08, False)]
    found = decided(systems, {"s@fused": checks}, [DENSE_BEATS_FUSED, against("s.base@fused", "fused", 0.1, 0.0001)])
    assert (found.champion, found.promoted, found.deploy) == ("s", False, "s.base@fused")
    assert (
        "it is worse than s.base@fused: nDCG@10 0.400 against 0.450, lower bound of the difference -0.080"
        in found.reason
    )


def test_a_gain_too_small_to_exclude_a_loss_is_said_to_be_unproven():
    found = decided(
        {"s@fused": system("student", "s", 0.43, 10)},
        {"s@fused": [superior(), not_inferior("dense", 0.01, -0.03, False)]},
        [DENSE_BEATS_FUSED],
    )
    assert (found.promoted, found.deploy) == (False, "dense")
    assert "it is not shown to be as good as dense" in found.reason


def test_an_alternative_that_is_not_significantly_better_does_not_replace_the_baseline():
    found = decided(
        {"s@fused": system("student", "s", 0.3, 10)},
        {"s@fused": [superior(-0.05, 0.5, False)]},
        [against("dense", "fused", 0.07, 0.3)],
    )
    assert found.deploy == "fused"


def test_a_student_with_a_blend_is_decided_on_as_it_is_served():
    systems = {
        "s@fused": system("student", "s", 0.6, 10),
        "s.blended@fused": system("blended", "s.blended", 0.5, 10, student="s"),
        "t@fused": system("student", "t", 0.4, 10),
        "u@bm25": system("student", "u", 0.9, 10, candidates="bm25"),
    }
    assert list(served(systems, "fused")) == ["s.blended@fused", "t@fused"]
    found = decided(systems, {"s.blended@fused": [superior()]})
    assert (found.champion, found.deploy) == ("s", "s.blended@fused")


def test_alternatives_are_first_stages_the_pre_ranker_and_the_students_own_base():
    systems = {
        **FIRST,
        "s.base@fused": system("base", "s.base", 0.4, student="s"),
        "t.base@fused": system("base", "t.base", 0.4, student="t"),
        "teacher@fused": system("teacher", "teacher", 0.7),
        "pre-ranker@bm25": system("pre_ranker", "pre-ranker", 0.3, candidates="bm25"),
    }
    assert alternatives(systems, "fused", "s") == ["fused", "dense", "pre-ranker@fused", "s.base@fused"]


def test_without_a_student_nothing_is_promoted():
    assert decided({}, {}).reason == "There is no student to promote."


SLOW_GOOD = {"big@fused": system("student", "big", 0.62, 80), "small@fused": system("student", "small", 0.60, 8)}
BOTH_PASS = {"big@fused": [superior()], "small@fused": [superior()]}


@pytest.mark.parametrize(("p", "winner"), [(0.3, "small"), (0.01, "big")])
def test_a_difference_that_is_not_significant_goes_to_the_cheaper(p, winner):
    found = decided(SLOW_GOOD, BOTH_PASS, duels=[against("big@fused", "small@fused", 0.02, p)])
    assert (found.champion, found.promoted) == (winner, True)
    assert ("big has 0.620, not significantly more, and is slower" in found.reason) == (winner == "small")


@pytest.mark.parametrize(("budget", "winner"), [(100, "big"), (50, "small"), (96, "big"), (95.9, "small")])
def test_the_best_within_the_budget_wins(budget, winner):
    found = decided(SLOW_GOOD, BOTH_PASS, duels=[against("big@fused", "small@fused", 0.02, 0.001)], budget=budget)
    assert found.champion == winner


def test_when_all_are_too_slow_the_fastest_is_named():
    found = decided(SLOW_GOOD, BOTH_PASS, budget=5)
    assert found.champion is None
    assert (
        found.reason
        == "No student answers within 5 ms: small, the fastest, takes 10 ms (p95, 50 documents). Deploy fused."
    )


def test_a_student_that_scores_otherwise_than_when_saved_is_never_promoted():
    broken = {"big@fused": system("student", "big", 0.9, 80, passed=False)}
    found = decided(broken, BOTH_PASS)
    assert (found.champion, found.promoted) == (None, False)
    assert found.reason == "big does not score as when saved: score parity failed. Deploy fused."
    other = decided({**broken, "small@fused": SLOW_GOOD["small@fused"]}, BOTH_PASS)
    assert (other.champion, other.promoted) == ("small", True)


def test_the_cheaper_counts_only_where_it_was_compared_with_the_best():
    three = {**SLOW_GOOD, "tiny@fused": system("student", "tiny", 0.4, 1)}
    duels = [
        against("big@fused", "small@fused", 0.02, 0.01),
        against("big@fused", "tiny@fused", 0.2, 0.001),
        against("small@fused", "tiny@fused", 0.2, 0.6),
    ]
    assert decided(three, BOTH_PASS, duels=duels).champion == "big"
