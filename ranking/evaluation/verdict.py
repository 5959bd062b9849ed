"""The verdict: which student wins, and whether it may replace the champion.

Of the students that score as they did when they were saved and answer within the latency budget, the best on the first
measure; where a cheaper one is not significantly worse than that, the cheapest of these. It is promoted if it beats the
control significantly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ranking.evaluation.results import ComparisonResult, SystemResult, VerdictResult


def decide(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    duels: Sequence[ComparisonResult],
    candidates: str,
    control: str,
    level: float,
    budget_ms: float | None = None,
) -> VerdictResult:
    """Pick the winning student and say why.

    candidates: the list on which students are compared. control: key of the control system. comparisons: with the
    control. duels: of students with each other on the first measure. level: a p-value below it is significant.
    budget_ms: for the p95 of one query; None for no limit.
    """
    students = {key: result for key, result in systems.items() if result.kind == "student" and result.candidates == candidates}
    if not students:
        return _none("There is no student to promote.")
    failed = [result.system for result in students.values() if result.parity is not None and not result.parity.passed]
    sound = {key: result for key, result in students.items() if result.system not in failed}
    if not sound:
        return _none(f"{_list(failed)} {_do(failed)} not score as when saved: score parity failed.")
    fast = {key: result for key, result in sound.items() if budget_ms is None or _p95(result) <= budget_ms}
    if not fast:
        nearest = min(sound.values(), key=_p95)
        return _none(
            f"No student answers within {budget_ms:g} ms: {nearest.system}, the fastest, takes {_p95(nearest):.0f} ms (p95, 50 documents)."
        )
    measure = next(iter(systems[control].measures))
    best = max(fast, key=lambda key: fast[key].measures[measure])
    winner = _cheapest_as_good(fast, duels, best, level)
    return _against_control(systems, comparisons, winner, control, measure, level, _preferred(fast, winner, best, measure))


def _cheapest_as_good(students: Mapping[str, SystemResult], duels: Sequence[ComparisonResult], best: str, level: float) -> str:
    as_good = [best]
    for duel in duels:
        if best in (duel.system, duel.control) and duel.p >= level:
            other = duel.control if duel.system == best else duel.system
            if other in students:
                as_good.append(other)
    return min(as_good, key=lambda key: (_cost(students[key]), key != best))


def _against_control(
    systems: Mapping[str, SystemResult],
    comparisons: Sequence[ComparisonResult],
    winner: str,
    control: str,
    measure: str,
    level: float,
    preferred: str,
) -> VerdictResult:
    found = next(c for c in comparisons if (c.system, c.control, c.measure) == (winner, control, measure))
    p = found.p if found.p_holm is None else found.p_holm
    name = systems[winner].system
    numbers = f"{measure} {systems[winner].measures[measure]:.3f} against {systems[control].measures[measure]:.3f}, p = {p:.4f}"
    if found.delta <= 0:
        return VerdictResult(champion=name, promoted=False, reason=f"{name} does not beat {control}: {numbers}{preferred}.")
    if p >= level:
        return VerdictResult(champion=name, promoted=False, reason=f"{name} does not beat {control} significantly: {numbers}{preferred}.")
    return VerdictResult(champion=name, promoted=True, reason=f"{name} beats {control}: {numbers}{preferred}.")


def _preferred(students: Mapping[str, SystemResult], winner: str, best: str, measure: str) -> str:
    """Why a cheaper student was taken, as the end of a sentence."""
    if winner == best:
        return ""
    return f"; {students[best].system} has {students[best].measures[measure]:.3f}, not significantly more, and is slower"


def _none(reason: str) -> VerdictResult:
    return VerdictResult(champion=None, promoted=False, reason=reason)


def _p95(result: SystemResult) -> float:
    return result.latency_ms.p95 if result.latency_ms else math.inf


def _cost(result: SystemResult) -> float:
    return result.latency_ms.p50 if result.latency_ms else math.inf


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
