"""The verdict: which student wins, and whether it may replace the champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking.evaluation.results import ComparisonResult, SystemResult, VerdictResult


def decide(
    systems: Mapping[str, SystemResult], comparisons: Sequence[ComparisonResult], candidates: str, control: str, level: float
) -> VerdictResult:
    """Pick the best student on the first measure and promote it if it beats the control significantly.

    candidates: the list on which students are compared. control: key of the control system.
    level: a p-value below it is significant.
    """
    students = {key: result for key, result in systems.items() if result.kind == "student" and result.candidates == candidates}
    if not students:
        return VerdictResult(champion=None, promoted=False, reason="There is no student to promote.")
    measure = next(iter(systems[control].measures))
    best = max(students, key=lambda key: students[key].measures[measure])
    found = next(c for c in comparisons if (c.system, c.control, c.measure) == (best, control, measure))
    name = students[best].system
    numbers = f"{measure} {students[best].measures[measure]:.3f} against {systems[control].measures[measure]:.3f}, p = {found.p:.4f}"
    if found.delta <= 0:
        return VerdictResult(champion=name, promoted=False, reason=f"{name} does not beat {control}: {numbers}.")
    if found.p >= level:
        return VerdictResult(champion=name, promoted=False, reason=f"{name} does not beat {control} significantly: {numbers}.")
    return VerdictResult(champion=name, promoted=True, reason=f"{name} beats {control}: {numbers}.")
