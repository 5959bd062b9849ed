"""The promotion decision: which student wins, whether it may be promoted, and what to deploy if it may not.

Students are compared as they are served: blended with the first stage where they have a blend. Of those that score as they did when
they were saved and answer within the latency budget, the best on the first measure wins; if a cheaper one is not significantly worse,
the cheapest of these. It is promoted if it is significantly better than the baseline, and not worse than the first stages, the
pre-ranker and its own base (non-inferiority). Otherwise the decision names the best of those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ranking.evaluation.results import CheckResult, ComparisonResult, PromotionDecision, SystemResult

ALTERNATIVES = ("first_stage", "pre_ranker", "base")
"""Kinds of systems that can be deployed instead of a student."""

Checks = Callable[[str], Sequence[CheckResult]]
"""From the key of a student's system to the conditions of its promotion."""


@dataclass(frozen=True)
class Rules:
    """candidates: the list that the decision is about. baseline: key of the system to beat.

    level: a p-value below it is significant. budget_ms: limit of the p95 of one query; None for no limit.
    """

    candidates: str
    baseline: str
    level: float
    budget_ms: float | None = None


def served(systems: Mapping[str, SystemResult], candidates: str) -> dict[str, SystemResult]:
    """Each student over a candidate list as it is served: its blended system, or the student alone where there is none."""
    here = {key: result for key, result in systems.items() if result.candidates == candidates}
    blended = {result.student for result in here.values() if result.kind == "blended"}
    return {
        key: result
        for key, result in here.items()
        if result.kind == "blended" or (result.kind == "student" and result.system not in blended)
    }


def alternatives(systems: Mapping[str, SystemResult], candidates: str, student: str) -> list[str]:
    """What could be deployed instead of a student: first stages, and over the same list the pre-ranker and the student's own base."""
    return [
        key
        for key, result in systems.items()
        if result.kind in ALTERNATIVES and result.candidates in (None, candidates) and result.student in (None, student)
    ]


def decide(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    duels: Sequence[ComparisonResult],
    rules: Rules,
    checks: Checks,
) -> PromotionDecision:
    """Pick the winning student, decide on its promotion and say why.

    comparisons: with the baseline. duels: of served students with each other on the first measure.
    """
    students = served(systems, rules.candidates)
    if not students:
        return _none("There is no student to promote.")
    failed = [name_of(result) for result in students.values() if result.parity is not None and not result.parity.passed]
    sound = {key: result for key, result in students.items() if name_of(result) not in failed}
    measure = next(iter(systems[rules.baseline].measures))
    instead = _instead(systems, comparisons, rules, "", measure)
    if not sound:
        return _none(f"{_list(failed)} {_do(failed)} not score as when saved: score parity failed.", instead)
    fast = {key: result for key, result in sound.items() if rules.budget_ms is None or _p95(result) <= rules.budget_ms}
    if not fast:
        nearest = min(sound.values(), key=_p95)
        took = f"{name_of(nearest)}, the fastest, takes {_p95(nearest):.0f} ms (p95, 50 documents)"
        return _none(f"No student answers within {rules.budget_ms:g} ms: {took}.", instead)
    best = max(fast, key=lambda key: fast[key].measures[measure])
    winner = _cheapest_as_good(fast, duels, best, rules.level)
    return _checked(systems, comparisons, rules, winner, checks(winner), _preferred(fast, winner, best, measure))


def name_of(result: SystemResult) -> str:
    """The student of a system that is a student, alone or blended."""
    return result.student or result.system


def _cheapest_as_good(
    students: Mapping[str, SystemResult], duels: Sequence[ComparisonResult], best: str, level: float
) -> str:
    as_good = [best]
    for duel in duels:
        if best in (duel.system, duel.control) and duel.p >= level:
            other = duel.control if duel.system == best else duel.system
            if other in students:
                as_good.append(other)
    return min(as_good, key=lambda key: (_cost(students[key]), key != best))


def _checked(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    rules: Rules,
    winner: str,
    checks: Sequence[CheckResult],
    preferred: str,
) -> PromotionDecision:
    """Promote the winner if it passes every check; else say what failed, and what to deploy."""
    measure = next(iter(systems[winner].measures))
    name = name_of(systems[winner])
    failed = [check for check in checks if not check.passed]
    against = _against(systems, measure)
    if not failed:
        beaten = next(check for check in checks if check.test == "superiority")
        reason = f"{name} beats {against(winner, beaten)}{preferred}."
        return PromotionDecision(champion=name, promoted=True, reason=reason, deploy=winner, checks=list(checks))
    instead = _instead(systems, comparisons, rules, name, measure)
    reason = (
        f"{name} is not promoted: {'; '.join(_failure(check, against(winner, check)) for check in failed)}{preferred}. "
    )
    reason += f"Deploy {instead} instead ({measure} {systems[instead].measures[measure]:.3f})."
    return PromotionDecision(champion=name, promoted=False, reason=reason, deploy=instead, checks=list(checks))


def _against(systems: Mapping[str, SystemResult], measure: str) -> Callable[[str, CheckResult], str]:
    """Words for a comparison: "fused: nDCG@10 0.500 against 0.400, p = 0.0100"."""

    def words(winner: str, check: CheckResult) -> str:
        values = (
            f"{measure} {systems[winner].measures[measure]:.3f} against {systems[check.against].measures[measure]:.3f}"
        )
        proof = (
            f"p = {check.p:.4f}" if check.test == "superiority" else f"lower bound of the difference {check.lower:+.3f}"
        )
        return f"{check.against}: {values}, {proof}"

    return words


def _failure(check: CheckResult, numbers: str) -> str:
    if check.test == "non-inferiority":
        return f"it is not shown to be as good as {numbers}" if check.delta >= 0 else f"it is worse than {numbers}"
    return f"it does not beat {numbers}" if check.delta <= 0 else f"it does not significantly beat {numbers}"


def _instead(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    rules: Rules,
    student: str,
    measure: str,
) -> str:
    """The best system without this student, or the baseline where that one is not significantly better."""
    keys = alternatives(systems, rules.candidates, student)
    best = max([rules.baseline, *keys], key=lambda key: systems[key].measures[measure])
    found = next((one for one in comparisons if (one.system, one.measure) == (best, measure)), None)
    return best if found is not None and found.p < rules.level else rules.baseline


def _preferred(students: Mapping[str, SystemResult], winner: str, best: str, measure: str) -> str:
    """Why a cheaper student was taken, as the end of a sentence."""
    if winner == best:
        return ""
    return (
        f"; {name_of(students[best])} has {students[best].measures[measure]:.3f}, not significantly more, and is slower"
    )


def _none(reason: str, deploy: str | None = None) -> PromotionDecision:
    return PromotionDecision(
        champion=None, promoted=False, reason=reason + (f" Deploy {deploy}." if deploy else ""), deploy=deploy
    )


def _p95(result: SystemResult) -> float:
    return result.latency_ms.p95 if result.latency_ms else math.inf


def _cost(result: SystemResult) -> float:
    return result.latency_ms.p50 if result.latency_ms else math.inf


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
