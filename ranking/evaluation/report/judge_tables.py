"""Tables of the report on the judge and its agreement with human grades."""

from __future__ import annotations

from ranking.evaluation.judge_results import Agreement, Interval, JudgeResult
from ranking.evaluation.report.report_tables import Cell, ReportTable, SystemRow
from ranking.evaluation.results import Metrics

_GRADES = "judge 0", "judge 1", "judge 2", "judge 3"


def judge_tables(metrics: Metrics) -> list[ReportTable]:
    """Build the tables of agreement and of grades by human grade. Empty without a judge or common pairs."""
    judge = metrics.judge
    if judge is None or judge.agreement is None:
        return []
    marked = " (= teacher)" if judge.same_as_teacher else ""
    return [
        _agreement(judge, judge.agreement, f"Agreement of the judge with human grades{marked}"),
        _confusion(judge.agreement, f"Grades of the judge by human grade{marked}"),
    ]


def agreement_line(judge: JudgeResult) -> str:
    """Describe the judge, its agreement with human grades and the documents that it graded, in one line."""
    same = " (the teacher's own)" if judge.same_as_teacher else ""
    agreement = judge.agreement
    graded = f"{judge.filled:,} of {judge.holes:,} unjudged documents of the top {judge.depth} graded"
    if agreement is None:
        return f"{judge.name}{same}: no agreement with human grades measured; {graded}"
    kappas = (
        f"kappa {_kappa(agreement.kappa, agreement.kappa_interval)}, "
        f"binary {_kappa(agreement.binary_kappa, agreement.binary_interval)}"
    )
    return f"{judge.name}{same}: {kappas} on {agreement.pairs:,} pairs with human grades; {graded}"


def judge_legend(metrics: Metrics, measure: str) -> list[str]:
    """Explain the column with the judge's grades. Empty without a judge."""
    judge = metrics.judge
    if judge is None:
        return []
    answers = "Answers: " + (", ".join(f"{count:,} {name}" for name, count in judge.statuses.items()) or "none") + "."
    graded = (
        f"{judge.filled:,} of {judge.holes:,} documents in the top {judge.depth} of any system that no human graded "
        f"have the grade of {judge.name}, mapped from 0, 1, 2, 3 to {', '.join(map(str, judge.scale))}."
    )
    if judge.alone:
        return [f"All measures: {graded} There are no human grades. {answers}"]
    return [
        f"{measure} {judge.suffix}: {graded} Human grades are never replaced, and the promotion decision uses only "
        f"them. {answers}"
    ]


def _agreement(judge: JudgeResult, agreement: Agreement, title: str) -> ReportTable:
    row = [
        judge.name,
        f"{agreement.pairs:,}",
        f"{agreement.queries:,}",
        *_cells(agreement.kappa, agreement.kappa_interval),
        *_cells(agreement.binary_kappa, agreement.binary_interval),
    ]
    columns = ["judge", "pairs", "queries", "kappa", "95% interval", "binary kappa", "95% interval (binary)"]
    legend = [
        "Cohen's kappa of the judge and humans on a random sample of pairs with human grades: 0 is chance, 1 is full "
        f"agreement. Binary: human grades of {agreement.relevant} or more, and the judge's 2 and 3, are relevant. "
        "Bootstrap intervals over queries."
    ]
    return ReportTable(title, columns, [SystemRow([Cell(text) for text in row], winner=False)], legend)


def _confusion(agreement: Agreement, title: str) -> ReportTable:
    rows = [
        SystemRow([Cell(str(human)), *(Cell(f"{count:,}") for count in counts)], winner=False)
        for human, counts in agreement.confusion.items()
    ]
    return ReportTable(title, ["human grade", *_GRADES], rows, ["Numbers of pairs of the sample."])


def _cells(kappa: float | None, interval: Interval | None) -> list[str]:
    return [
        "undefined" if kappa is None else f"{kappa:.3f}",
        f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "",
    ]


def _kappa(kappa: float | None, interval: Interval | None) -> str:
    value, bounds = _cells(kappa, interval)
    return f"{value} ({bounds})" if bounds else value
