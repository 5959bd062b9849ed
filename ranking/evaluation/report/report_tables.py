"""Tables of the report, for the HTML page and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranking.evaluation.report.markdown_text import markdown_text
from ranking.evaluation.results import ComparisonResult, Metrics, SystemResult

_COSTS = ("documents/s", "p50 ms", "p95 ms", "parameters", "labels", "label tokens", "label cost")


@dataclass(frozen=True)
class Cell:
    """A table cell.

    Attributes:
        kind: CSS class on the page: "", "left", "up" or "down".
    """

    text: str
    kind: str = ""


@dataclass(frozen=True)
class SystemRow:
    """A system's row.

    Attributes:
        winner: Whether this is the system that the report shows in detail.
    """

    cells: list[Cell]
    winner: bool


@dataclass(frozen=True)
class ReportTable:
    """A table with a title.

    Attributes:
        legend: Explanations below the table.
    """

    title: str
    columns: list[str]
    rows: list[SystemRow]
    legend: list[str]


@dataclass(frozen=True)
class SliceRow:
    """A query slice's row: its name, number of queries and each system's mean."""

    name: str
    queries: int
    cells: list[str]


def quality(metrics: Metrics, featured: str | None) -> ReportTable:
    """Build the table of all systems' measures and their differences to the baseline on the first measure."""
    names = list(next(iter(metrics.systems.values())).measures)
    by_system = {one.system: one for one in metrics.comparisons if one.measure == names[0]}
    judged_only = metrics.shows_judged_only
    columns = [
        "system",
        "re-ranks",
        *names,
        "judged only",
        f"{names[0]} {metrics.judge.suffix}" if metrics.judge else "",
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
            *(Cell(result.format_measure(name)) for name in names),
        ]
        cells.append(Cell(f"{result.judged_only:.3f}" if judged_only and result.judged_only is not None else ""))
        cells.append(Cell(f"{result.with_judge[names[0]]:.3f}" if result.with_judge else ""))
        rows.append(SystemRow(cells + _comparison_cells(by_system.get(key), key == metrics.baseline), key == featured))
    legend = ["Judged@10: share of the top 10 that is judged. Unjudged documents count as not relevant."]
    if judged_only:
        legend.append(f"Judged only: {names[0]} over condensed lists, from which unjudged documents are removed.")
    if metrics.baseline:
        legend.append(
            f"Δ: difference to {metrics.baseline}, with its 95% bootstrap interval over queries. p: two-sided paired "
            "randomisation test. p (Holm): corrected for the number of models and students (as served) on a candidate "
            "list. Effect d: mean difference divided by its standard deviation over queries."
        )
    legend.append("Ties are broken as in trec_eval, by descending document id.")
    judge = metrics.judge
    title = "Systems, on generated queries" if metrics.on_generated_queries else "Systems"
    title += f", graded by the {judge.label} only" if judge and judge.alone else ""
    return _table(title, columns, rows, legend)


def costs(metrics: Metrics, featured: str | None) -> ReportTable | None:
    """Build the table of latency, size and label cost. Returns None if no system has any of them."""
    first: dict[str, str] = {}
    for key, result in metrics.systems.items():
        first.setdefault(result.system, key)
    rows = [SystemRow([Cell(name), *_cost_cells(metrics.systems[key])], key == featured) for name, key in first.items()]
    rows = [row for row in rows if any(cell.text for cell in row.cells[1:])]
    if not rows:
        return None
    legend = []
    if any(result.latency_ms for result in metrics.systems.values()):
        legend.append(
            "Latency: one query at a time, each system alone. Re-rankers score 50 documents; the pre-ranker uses "
            "precomputed document embeddings. First stages search the whole collection."
        )
    label_costs = [result.label_cost for result in metrics.systems.values() if result.label_cost]
    if label_costs:
        legend.append(
            "Labels: a student's row shows the one-time cost of its training labels; the teacher's row shows the cost "
            "of labelling the test queries, which recurs for every query. Tokens: prompt and completion, rationales "
            "included."
            + (
                " Cost: all engines, at compute.engine_hour_price."
                if any(cost.price is not None for cost in label_costs)
                else ""
            )
        )
    return _table("Cost", ["system", *_COSTS], rows, legend)


def query_slices(metrics: Metrics) -> tuple[list[str], list[SliceRow]]:
    """Build the columns and rows of the table of query slices, with the mean of the first measure."""
    keys = list(metrics.systems)
    rows = [
        SliceRow(f"{one.by}: {one.name}", one.queries, [f"{one.values[key]:.3f}" for key in keys])
        for one in metrics.query_slices
    ]
    return keys, rows


def machine(metrics: Metrics) -> str:
    """Describe the machine of the latency measurements. Empty if nothing was measured."""
    hardware = metrics.machine
    if hardware is None:
        return ""
    return f"Latency measured on {hardware.gpu or hardware.processor}, {hardware.threads} of {hardware.cores} cores."


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Format a Markdown table with escaped cells. The first column is left-aligned, the others right-aligned."""
    head = "| " + " | ".join(map(markdown_text, columns)) + " |"
    rule = "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|"
    return [head, rule, *("| " + " | ".join(map(markdown_text, row)) + " |" for row in rows)]


def _comparison_cells(one: ComparisonResult | None, is_control: bool) -> list[Cell]:
    """Build the cells of a comparison with the baseline."""
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


def _table(title: str, columns: Sequence[str], rows: Sequence[SystemRow], legend: list[str]) -> ReportTable:
    """Build a table without its empty columns."""
    shown = [i for i in range(len(columns)) if any(row.cells[i].text for row in rows)]
    return ReportTable(
        title,
        [columns[i] for i in shown],
        [SystemRow([row.cells[i] for i in shown], row.winner) for row in rows],
        legend,
    )


def _cost_cells(result: SystemResult) -> list[Cell]:
    """Build the cells of a system's cost."""
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
