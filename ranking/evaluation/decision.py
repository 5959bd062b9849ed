"""The promotion decision: which student wins, whether it may be promoted, and what to deploy if it may not.

A student is compared in the form in which it is served: if its config has a blend, its scores are blended with the
first stage's (`ranking.blending`). Students are excluded if they exceed the latency budget or fail score parity, which
means that their scores differ from those recorded when they were saved. The best remaining student on the first measure
wins; if cheaper students are not significantly worse, the cheapest of them wins. The winner is promoted if it is
significantly better than the baseline (superiority), and not worse than the first stages, the pre-ranker and its own
base, which is the same model before training (non-inferiority). Otherwise the decision names the system to deploy
instead: the best of these alternatives if it is significantly better than the baseline, else the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ranking.evaluation.results import CheckResult, ComparisonResult, PromotionDecision, SystemResult

ALTERNATIVES = ("first_stage", "pre_ranker", "base")
"""Kinds of systems that can be deployed instead of a student."""

Checks = Callable[[str], Sequence[CheckResult]]
"""Function that takes the key of a student's system and checks the student's promotion conditions."""


@dataclass(frozen=True)
class Rules:
    """Rules of the promotion decision.

    Attributes:
        candidates: Name of the candidate list on which students compete.
        baseline: Key of the system to beat.
        level: Significance level. A lower p-value is significant.
        budget_ms: Limit of the p95 latency of one query in milliseconds. None for no limit.
    """

    candidates: str
    baseline: str
    level: float
    budget_ms: float | None = None


def served_systems(systems: Mapping[str, SystemResult], candidates: str) -> dict[str, SystemResult]:
    """Select the system that is served for each student on a candidate list.

    This is the student's blended system if there is one, else the student without a blend.

    Args:
        systems: Results by system key.
        candidates: Name of the candidate list.

    Returns:
        Results of the selected systems by system key.
    """
    on_list = {key: result for key, result in systems.items() if result.candidates == candidates}
    blended = {result.student for result in on_list.values() if result.kind == "blended"}
    return {
        key: result
        for key, result in on_list.items()
        if result.kind == "blended" or (result.kind == "student" and result.system not in blended)
    }


def alternatives(systems: Mapping[str, SystemResult], candidates: str, student: str) -> list[str]:
    """List the keys of the systems that can be deployed instead of a student.

    These are all first stages, and the pre-ranker and the student's base on the same candidate list.
    """
    return [
        key
        for key, result in systems.items()
        if result.kind in ALTERNATIVES and result.candidates in (None, candidates) and result.student in (None, student)
    ]


def decide(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    pairwise: Sequence[ComparisonResult],
    rules: Rules,
    checks: Checks,
) -> PromotionDecision:
    """Choose the winning student, decide on its promotion and give the reason.

    Args:
        systems: Results by system key.
        comparisons: Comparisons with the baseline.
        pairwise: Comparisons of served students with each other on the first measure.
        rules: Rules of the decision.
        checks: Function that checks the promotion conditions of the winner.
    """
    students = served_systems(systems, rules.candidates)
    if not students:
        return _none("There is no student to promote.")
    failed = [name_of(result) for result in students.values() if result.parity is not None and not result.parity.passed]
    valid = {key: result for key, result in students.items() if name_of(result) not in failed}
    measure = next(iter(systems[rules.baseline].measures))
    fallback = _best_alternative(systems, comparisons, rules, "", measure)
    if not valid:
        return _none(
            f"Score parity failed for {_list(failed)}: scores differ from those recorded when saved.", fallback
        )
    fast = {key: result for key, result in valid.items() if rules.budget_ms is None or _p95(result) <= rules.budget_ms}
    if not fast:
        fastest = min(valid.values(), key=_p95)
        latency = f"the fastest, {name_of(fastest)}, takes {_p95(fastest):.0f} ms (p95, 50 documents)"
        return _none(f"No student meets the latency budget of {rules.budget_ms:g} ms: {latency}.", fallback)
    best = max(fast, key=lambda key: fast[key].measures[measure])
    winner = _cheapest_equivalent(fast, pairwise, best, rules.level)
    return _decide_by_checks(
        systems, comparisons, rules, winner, checks(winner), _preference(fast, winner, best, measure)
    )


def name_of(result: SystemResult) -> str:
    """Return the name of the student that a student, blended or base system belongs to."""
    return result.student or result.system


def _cheapest_equivalent(
    students: Mapping[str, SystemResult], pairwise: Sequence[ComparisonResult], best: str, level: float
) -> str:
    """Choose the cheapest student that is not significantly worse than the best one."""
    equivalent = [best]
    for comparison in pairwise:
        if best in (comparison.system, comparison.baseline) and comparison.p >= level:
            other = comparison.baseline if comparison.system == best else comparison.system
            if other in students:
                equivalent.append(other)
    return min(equivalent, key=lambda key: (_cost(students[key]), key != best))


def _decide_by_checks(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    rules: Rules,
    winner: str,
    checks: Sequence[CheckResult],
    preference: str,
) -> PromotionDecision:
    """Promote the winner if it passes all checks; else report the failed checks and the system to deploy."""
    measure = next(iter(systems[winner].measures))
    name = name_of(systems[winner])
    failed = [check for check in checks if not check.passed]
    describe = _describer(systems, measure)
    if not failed:
        superiority = next(check for check in checks if check.test == "superiority")
        reason = f"{name} beats {describe(winner, superiority)}{preference}."
        return PromotionDecision(champion=name, promoted=True, reason=reason, deploy=winner, checks=list(checks))
    alternative = _best_alternative(systems, comparisons, rules, name, measure)
    reason = (
        f"{name} is not promoted: "
        f"{'; '.join(_failure(check, describe(winner, check)) for check in failed)}{preference}. "
    )
    reason += f"Deploy {alternative} instead ({measure} {systems[alternative].measures[measure]:.3f})."
    return PromotionDecision(champion=name, promoted=False, reason=reason, deploy=alternative, checks=list(checks))


def _describer(systems: Mapping[str, SystemResult], measure: str) -> Callable[[str, CheckResult], str]:
    """Return a function that describes a comparison, such as "fused: nDCG@10 0.500 against 0.400, p = 0.0100"."""

    def describe(winner: str, check: CheckResult) -> str:
        """Describe one check."""
        values = (
            f"{measure} {systems[winner].measures[measure]:.3f} against {systems[check.against].measures[measure]:.3f}"
        )
        evidence = (
            f"p = {check.p:.4f}" if check.test == "superiority" else f"lower bound of the difference {check.lower:+.3f}"
        )
        return f"{check.against}: {values}, {evidence}"

    return describe


def _failure(check: CheckResult, numbers: str) -> str:
    """Describe a failed check."""
    if check.test == "non-inferiority":
        return f"it is not proven to be as good as {numbers}" if check.delta >= 0 else f"it is worse than {numbers}"
    return f"it does not beat {numbers}" if check.delta <= 0 else f"it does not significantly beat {numbers}"


def _best_alternative(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    rules: Rules,
    student: str,
    measure: str,
) -> str:
    """Choose the best alternative to a student if it is significantly better than the baseline, else the baseline."""
    keys = alternatives(systems, rules.candidates, student)
    best = max([rules.baseline, *keys], key=lambda key: systems[key].measures[measure])
    comparison = next((one for one in comparisons if (one.system, one.measure) == (best, measure)), None)
    return best if comparison is not None and comparison.p < rules.level else rules.baseline


def _preference(students: Mapping[str, SystemResult], winner: str, best: str, measure: str) -> str:
    """Return the end of a sentence that explains why a cheaper student won. Empty if the best student won."""
    if winner == best:
        return ""
    return (
        f"; {name_of(students[best])} is slower and not significantly better ({students[best].measures[measure]:.3f})"
    )


def _none(reason: str, deploy: str | None = None) -> PromotionDecision:
    """Return the decision for the case that no student wins."""
    return PromotionDecision(
        champion=None, promoted=False, reason=reason + (f" Deploy {deploy}." if deploy else ""), deploy=deploy
    )


def _p95(result: SystemResult) -> float:
    """Return the p95 latency in milliseconds; infinity if not measured."""
    return result.latency_ms.p95 if result.latency_ms else math.inf


def _cost(result: SystemResult) -> float:
    """Return the cost of a system: its median latency in milliseconds, or infinity if not measured."""
    return result.latency_ms.p50 if result.latency_ms else math.inf


def _list(names: Sequence[str]) -> str:
    """Join names for use in a sentence, such as "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
