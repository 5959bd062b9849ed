"""The verdict: the best within the budget, the cheaper of equals, never without a significant gain or with failed parity."""

import pytest

from ranking.evaluation.results import ComparisonResult, Latency, Parity, SystemResult
from ranking.evaluation.verdict import decide


def system(kind, name, value, ms=None, candidates="bm25", passed=True):
    return SystemResult(
        kind=kind,
        system=name,
        candidates=candidates,
        measures={"nDCG@10": value},
        latency_ms=Latency(p50=ms, p95=ms * 1.2) if ms else None,
        parity=None if ms is None else Parity(difference=0.0 if passed else 0.5, passed=passed),
    )


def against(key, other, delta, p, p_holm=None):
    return ComparisonResult(system=key, control=other, measure="nDCG@10", delta=delta, p=p, p_holm=p_holm, interval=(0, 0))


BASE = {"bm25": system("first_stage", "bm25", 0.5, candidates=None)}


def decided(students, comparisons, duels=(), budget=None):
    return decide({**BASE, **students}, comparisons, duels, "bm25", "bm25", 0.05, budget)


@pytest.mark.parametrize(
    ("delta", "p", "p_holm", "promoted", "words"),
    [
        (0.1, 0.01, None, True, "s beats bm25: nDCG@10 0.600 against 0.500, p = 0.0100."),
        (0.1, 0.2, None, False, "s does not beat bm25 significantly"),
        (0.1, 0.04, 0.08, False, "significantly: nDCG@10 0.600 against 0.500, p = 0.0800."),
        (-0.1, 0.01, None, False, "s does not beat bm25: "),
    ],
)
def test_only_a_significant_gain_is_promoted(delta, p, p_holm, promoted, words):
    found = decided({"s@bm25": system("student", "s", 0.5 + delta, 10)}, [against("s@bm25", "bm25", delta, p, p_holm)])
    assert (found.champion, found.promoted) == ("s", promoted)
    assert words in found.reason


def test_without_a_student_nothing_is_promoted():
    assert decided({}, []).reason == "There is no student to promote."


SLOW_GOOD = {"big@bm25": system("student", "big", 0.62, 80), "small@bm25": system("student", "small", 0.60, 8)}
BOTH_BEAT = [against("big@bm25", "bm25", 0.12, 0.001), against("small@bm25", "bm25", 0.10, 0.002)]


@pytest.mark.parametrize(("p", "winner"), [(0.3, "small"), (0.01, "big")])
def test_a_difference_that_is_not_significant_goes_to_the_cheaper(p, winner):
    found = decided(SLOW_GOOD, BOTH_BEAT, [against("big@bm25", "small@bm25", 0.02, p)])
    assert (found.champion, found.promoted) == (winner, True)
    assert ("big has 0.620, not significantly more, and is slower" in found.reason) == (winner == "small")


@pytest.mark.parametrize(("budget", "winner"), [(100, "big"), (50, "small"), (96, "big"), (95.9, "small")])
def test_the_best_within_the_budget_wins(budget, winner):
    found = decided(SLOW_GOOD, BOTH_BEAT, [against("big@bm25", "small@bm25", 0.02, 0.001)], budget)
    assert found.champion == winner


def test_when_all_are_too_slow_the_fastest_is_named():
    found = decided(SLOW_GOOD, BOTH_BEAT, [], 5)
    assert found.champion is None
    assert found.reason == "No student answers within 5 ms: small, the fastest, takes 10 ms (p95, 50 documents)."


def test_a_student_that_scores_otherwise_than_when_saved_is_never_promoted():
    broken = {"big@bm25": system("student", "big", 0.9, 80, passed=False)}
    found = decided(broken, [against("big@bm25", "bm25", 0.4, 0.0001)])
    assert (found.champion, found.promoted) == (None, False)
    assert found.reason == "big does not score as when saved: score parity failed."
    other = decided({**broken, "small@bm25": SLOW_GOOD["small@bm25"]}, [*BOTH_BEAT])
    assert (other.champion, other.promoted) == ("small", True)


def test_the_cheaper_counts_only_where_it_was_compared_with_the_best():
    three = {**SLOW_GOOD, "tiny@bm25": system("student", "tiny", 0.4, 1)}
    duels = [
        against("big@bm25", "small@bm25", 0.02, 0.01),
        against("big@bm25", "tiny@bm25", 0.2, 0.001),
        against("small@bm25", "tiny@bm25", 0.2, 0.6),
    ]
    assert decided(three, BOTH_BEAT, duels).champion == "big"
