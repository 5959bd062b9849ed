"""The report's tables: rows of cells, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranking.evaluation.results import ComparisonResult, Metrics, SystemResult

_COSTS = ("documents/s", "p50 ms", "p95 ms", "parameters", "labels", "label tokens", "label cost")


@dataclass(frozen=True)
class Cell:
    """kind: how the page shows it: "", "left", "up" or "down"."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class SystemRow:
    """A system's row. winner: whether it is the one that the report looks at closely."""

    cells: list[Cell]
    winner: bool


@dataclass(frozen=True)
class ReportTable:
    """legend: lines on how to read it."""

    title: str
    columns: list[str]
    rows: list[SystemRow]
    legend: list[str]


@dataclass(frozen=True)
class SliceRow:
    name: str
    queries: int
    cells: list[str]


def quality(metrics: Metrics, featured: str | None) -> ReportTable:
    """All systems with measures, and the difference to the baseline on the first measure."""
    names = list(next(iter(metrics.systems.values())).measures)
    found = {one.system: one for one in metrics.comparisons if one.measure == names[0]}
    judged_only = metrics.shows_judged_only
    columns = [
        "system",
        "re-ranks",
        *names,
        "judged only",
        f"Δ {names[0]}",
        "95% interval",
        "p",
        "p (Holm)",
        "effect d",
    ]
    rows = []
    for key, result in metrics.systems.items():
        cells = [
            Cell(result.system),
            Cell(result.candidates or "", "left"),
            *(Cell(result.told(name)) for name in names),
        ]
        cells.append(Cell(f"{result.judged_only:.3f}" if judged_only and result.judged_only is not None else ""))
        rows.append(SystemRow(cells + _compared(found.get(key), key == metrics.control), key == featured))
    legend = ["Judged@10 is the share of a top 10 that was judged; what is not judged counts as not relevant."]
    if judged_only:
        legend.append(
            f"Judged only: {names[0]} over condensed lists, from which documents without a judgement are removed."
        )
    if metrics.control:
        legend.append(
            f"Δ: difference to {metrics.control}, with its 95% bootstrap interval over queries; p: two-sided paired randomisation test; "
            "p (Holm): corrected for the number of students, as served, and models on a list; "
            "effect d: mean difference by its standard deviation over queries."
        )
    legend.append("Equal scores stand as in trec_eval, later ids first.")
    return _told("Systems", columns, rows, legend)


def costs(metrics: Metrics, featured: str | None) -> ReportTable | None:
    """Times, size and what labels took, a row for each system that has any of them; None where none has."""
    first: dict[str, str] = {}
    for key, result in metrics.systems.items():
        first.setdefault(result.system, key)
    rows = [SystemRow([Cell(name), *_costs(metrics.systems[key])], key == featured) for name, key in first.items()]
    rows = [row for row in rows if any(cell.text for cell in row.cells[1:])]
    if not rows:
        return None
    legend = []
    if any(result.latency_ms for result in metrics.systems.values()):
        legend.append(
            "Times: one query after another, each system alone. Re-rankers score 50 documents, the pre-ranker by vectors of documents "
            "that are there; first stages search the whole collection."
        )
    taken = [result.label_cost for result in metrics.systems.values() if result.label_cost]
    if taken:
        legend.append(
            "Labels: what a student learned from, once; the teacher's are its answers to these queries, as it must answer every query "
            "anew. Tokens: read and written, with those of rationales that the student learned from."
            + (
                " Cost: of all engines at compute.engine_hour_price."
                if any(cost.price is not None for cost in taken)
                else ""
            )
        )
    return _told("What they cost", ["system", *_COSTS], rows, legend)


def classes(metrics: Metrics) -> tuple[list[str], list[SliceRow]]:
    """The first measure by kinds of queries."""
    keys = list(metrics.systems)
    rows = [
        SliceRow(f"{one.by}: {one.name}", one.queries, [f"{one.values[key]:.3f}" for key in keys])
        for one in metrics.classes
    ]
    return keys, rows


def machine(metrics: Metrics) -> str:
    """Where times were measured, in a sentence; empty where none were."""
    held = metrics.machine
    if held is None:
        return ""
    return f"Times of {held.gpu or held.processor}, {held.threads} of {held.cores} cores."


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    head = "| " + " | ".join(columns) + " |"
    rule = "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|"
    return [head, rule, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)]


def _compared(one: ComparisonResult | None, is_control: bool) -> list[Cell]:
    if one is None:
        return [Cell("baseline" if is_control else ""), *[Cell("")] * 4]
    low, high = one.interval
    kind = "up" if low > 0 else "down" if high < 0 else ""
    return [
        Cell(f"{one.delta:+.3f}", kind),
        Cell(f"{low:+.3f} to {high:+.3f}"),
        Cell(f"{one.p:.4f}"),
        Cell("" if one.p_holm is None else f"{one.p_holm:.4f}"),
        Cell("" if one.effect is None else f"{one.effect:+.2f}"),
    ]


def _told(title: str, columns: Sequence[str], rows: Sequence[SystemRow], legend: list[str]) -> ReportTable:
    """Without the columns that are empty."""
    told = [i for i in range(len(columns)) if any(row.cells[i].text for row in rows)]
    return ReportTable(
        title, [columns[i] for i in told], [SystemRow([row.cells[i] for i in told], row.winner) for row in rows], legend
    )


def _costs(result: SystemResult) -> list[Cell]:
    latency, size, labels = result.latency_ms, result.size, result.label_cost
    return [
        Cell("" if result.documents_per_second is None else f"{result.documents_per_second:,.0f}"),
        Cell(f"{latency.p50:.1f}" if latency else ""),
        Cell(f"{latency.p95:.1f}" if latency else ""),
        Cell(f"{size.parameters / 1e6:.1f}M" if size else ""),
        Cell(f"{labels.labels:,}" if labels else ""),
        Cell(f"{labels.prompt_tokens + labels.completion_tokens:,}" if labels else ""),
        Cell(f"{labels.price:,.2f}" if labels and labels.price is not None else ""),
    ]
