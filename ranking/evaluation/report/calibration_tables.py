"""Tables of the report on calibrated scores."""

from __future__ import annotations

from ranking.evaluation.report.report_tables import Cell, ReportTable, SystemRow
from ranking.evaluation.results import Metrics

_MEASURES = ("relevant by", "documents", "relevant", "ECE before", "ECE", "Brier before", "Brier")


def calibration_tables(metrics: Metrics) -> list[ReportTable]:
    """Build the tables of calibration measures and of thresholds. Empty if no student has calibrated scores."""
    return [_measures(metrics), _thresholds(metrics)] if metrics.calibrations else []


def _measures(metrics: Metrics) -> ReportTable:
    """Build the table of each student's calibration error and Brier score, before and after."""
    rows = [
        [
            name,
            one.relevance,
            f"{one.pairs:,}",
            f"{one.relevant:,}",
            *(f"{value:.3f}" for value in (one.ece_before, one.ece, one.brier_before, one.brier)),
        ]
        for name, one in metrics.calibrations.items()
    ]
    legend = [
        "The sigmoid of a calibrated score is the probability that the document is relevant. ECE: expected calibration "
        "error with bins of equal mass. Brier: mean squared difference between probability and relevance. Lower is "
        "better. Measured on the validation queries of training; after calibration by cross-validation over queries."
    ]
    return ReportTable("Calibrated scores", ["student", *_MEASURES], _rows(rows), legend)


def _thresholds(metrics: Metrics) -> ReportTable:
    """Build the table of precision, recall and share of kept documents by threshold."""
    rows = [
        [
            name,
            f"{row.threshold:g}",
            "" if row.precision is None else f"{row.precision:.3f}",
            f"{row.recall:.3f}",
            f"{row.kept:.3f}",
        ]
        for name, one in metrics.calibrations.items()
        for row in one.thresholds
    ]
    legend = [
        "If only documents with at least this probability are kept, as with min_score in requests: share of the kept "
        "documents that are relevant, share of the relevant documents that are kept, and share of all documents that "
        "are kept. By cross-validation over the validation queries."
    ]
    return ReportTable("Thresholds", ["student", "threshold", "precision", "recall", "kept"], _rows(rows), legend)


def _rows(rows: list[list[str]]) -> list[SystemRow]:
    return [SystemRow([Cell(text) for text in row], winner=False) for row in rows]
