"""Table of the report on the quality and latency of students of different sizes."""

from __future__ import annotations

from ranking.evaluation.decision import name_of
from ranking.evaluation.frontier import dominating, timed_students
from ranking.evaluation.report.report_tables import Cell, ReportTable, SystemRow
from ranking.evaluation.results import Metrics, SystemResult

DOMINATED = "dominated by"


def frontier_table(
    metrics: Metrics, first_stage: str, featured: str | None, budget_ms: float | None
) -> ReportTable | None:
    """Build the table of all students with a measured latency, fastest first. None for fewer than two.

    Args:
        metrics: Results of the evaluation.
        first_stage: Name of the candidate list that the table is about.
        featured: Key of the system that the report shows in detail.
        budget_ms: Latency budget in milliseconds. None if there is no budget.
    """
    students = timed_students(metrics, first_stage)
    if len(students) < 2:
        return None
    budget = [] if budget_ms is None else [f"within {budget_ms:g} ms"]
    columns = ["student", metrics.measure, "p50 ms", "p95 ms", "documents/s", "parameters", *budget, DOMINATED]
    rows = []
    for key, result in students.items():
        better = dominating(key, students, metrics.measure)
        cells = [Cell(name_of(result)), *_cells(result, metrics.measure)]
        cells += [] if budget_ms is None else [_budget_cell(result, budget_ms)]
        cells.append(Cell("" if better is None else name_of(students[better]), "left"))
        rows.append(SystemRow(cells, key == featured))
    legend = [
        f"Students as served on {first_stage}'s candidates, fastest first. Without an entry under {DOMINATED!r}, a "
        "student is on the frontier: no other student is at least as good and at least as fast (p50). The decision "
        "also takes significance into account: it prefers the fastest student that is not significantly worse than "
        "the best."
    ]
    return ReportTable("Quality and latency of the students", columns, rows, legend)


def _cells(result: SystemResult, measure: str) -> list[Cell]:
    """Build the cells of a student's quality, latency, throughput and size."""
    assert result.latency_ms is not None
    rate, size = result.documents_per_second, result.size
    return [
        Cell(result.format_measure(measure)),
        Cell(f"{result.latency_ms.p50:.1f}"),
        Cell(f"{result.latency_ms.p95:.1f}"),
        Cell("" if rate is None else f"{rate:,.0f}"),
        Cell("" if size is None else f"{size.parameters / 1e6:.1f}M"),
    ]


def _budget_cell(result: SystemResult, budget_ms: float) -> Cell:
    """Build the cell that says whether a student's p95 latency meets the budget, as the decision requires."""
    assert result.latency_ms is not None
    fits = result.latency_ms.p95 <= budget_ms
    return Cell("yes" if fits else "no", "" if fits else "down")
