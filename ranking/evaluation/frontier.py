"""The frontier of quality and latency: which students are better or faster than all others."""

from __future__ import annotations

from collections.abc import Mapping

from ranking.evaluation.decision import name_of, served_systems
from ranking.evaluation.results import Metrics, SystemResult


def timed_students(metrics: Metrics, candidates: str) -> dict[str, SystemResult]:
    """Select the students with a measured latency, as they are served, fastest first.

    Args:
        metrics: Results of the evaluation.
        candidates: Name of the candidate list that they re-rank.

    Returns:
        Results by system key.
    """
    students = served_systems(metrics.systems, candidates)
    timed = {key: result for key, result in students.items() if result.latency_ms is not None}
    return dict(sorted(timed.items(), key=lambda item: _latency(item[1])))


def dominating(key: str, students: Mapping[str, SystemResult], measure: str) -> str | None:
    """Find a student that dominates another one: at least as good and at least as fast, and one of them strictly.

    Args:
        key: Key of the student that may be dominated.
        students: Students from `timed_students`.
        measure: Measure of quality. Speed is the median latency.

    Returns:
        Key of the best student that dominates it. None if it is on the frontier.
    """
    own = (students[key].measures[measure], -_latency(students[key]))
    values = {other: (result.measures[measure], -_latency(result)) for other, result in students.items()}
    better = [other for other, value in values.items() if value != own and value[0] >= own[0] and value[1] >= own[1]]
    return max(better, key=values.__getitem__) if better else None


def frontier_line(metrics: Metrics, candidates: str) -> str | None:
    """Describe the frontier in a line of text. None for fewer than two students with a measured latency."""
    students = timed_students(metrics, candidates)
    if len(students) < 2:
        return None
    by_key = {key: dominating(key, students, metrics.measure) for key in students}
    on_it = ", ".join(
        f"{name_of(students[key])} ({metrics.measure} {students[key].measures[metrics.measure]:.3f}, "
        f"{_latency(students[key]):.1f} ms)"
        for key, better in by_key.items()
        if better is None
    )
    dominated = [
        f"{name_of(students[key])} is dominated by {name_of(students[better])}"
        for key, better in by_key.items()
        if better is not None
    ]
    return "; ".join([on_it, *dominated])


def _latency(result: SystemResult) -> float:
    """Return the median latency of a timed student in milliseconds."""
    assert result.latency_ms is not None
    return result.latency_ms.p50
