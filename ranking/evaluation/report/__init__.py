"""Evaluation report: a self-contained HTML page, and its tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from ranking.audit.picture_scale import STYLE
from ranking.collections.collection import Collection
from ranking.content_policy import hash_source, hash_sources
from ranking.evaluation.comparison import PerQuery
from ranking.evaluation.featured_system import featured_system
from ranking.evaluation.report import charts, report_tables
from ranking.evaluation.report.calibration_tables import calibration_tables
from ranking.evaluation.report.differences import ChangedQuery, RankedSystem, changed_queries
from ranking.evaluation.report.frontier_table import frontier_table
from ranking.evaluation.report.judge_tables import judge_legend, judge_tables
from ranking.evaluation.report.markdown_text import markdown_text
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun
from ranking.terminal_text import printable

SHOWN_QUERIES = 8


@dataclass(frozen=True)
class Picture:
    """An SVG with a caption of one or two sentences."""

    svg: str
    caption: str


@dataclass
class ReportData:
    """Content of a report.

    Attributes:
        run: Name of the run.
        collection: The collection, for the texts of queries and documents and for its judgements.
        metrics: Results of the evaluation.
        runs: Rankings of the test queries by system key.
        values: {system key: {measure: {query_id: value}}}.
        budget_ms: Latency budget in milliseconds. None if there is no budget.
        first_stage: Name of the candidate list that the charts and the decision are about.
        curves: Training curves: {student: {"loss" or "validation nDCG@10": [(step, value)]}}.
        reliability: Reliability of the teacher: (ranks in the teacher's order, share of relevant documents, number of
            documents) for each band of ranks.
        labels: Lines of text about the labels.
        audit: Text and SVG of the teacher audit. None if the teacher was not audited.
    """

    run: str
    collection: Collection
    metrics: Metrics
    runs: Mapping[str, TrecRun]
    values: PerQuery
    budget_ms: float | None = None
    first_stage: str = "bm25"
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]] = field(default_factory=dict)
    reliability: Sequence[tuple[str, float, int]] = ()
    labels: Sequence[str] = ()
    audit: tuple[str, str] | None = None

    @property
    def measure(self) -> str:
        """The first measure, which the decision uses."""
        return self.metrics.measure

    @property
    def featured(self) -> str | None:
        """Key of the system that the report shows in detail. None if there is only the baseline."""
        return featured_system(self.metrics, self.first_stage)


def html_of(data: ReportData) -> str:
    """Render the HTML page.

    All texts are escaped, and control characters become visible escapes. The page's Content-Security-Policy also
    forbids scripts, styles other than its own, and everything that is loaded.
    """
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style_sources = f"{hash_sources(template, 'style')} {hash_source(STYLE)}"
    return printable(environment.from_string(template).render(_content(data), style_sources=style_sources))


def markdown_of(data: ReportData) -> str:
    """Render the decision, warnings, tables and changed queries as Markdown."""
    content = _content(data)
    metrics = data.metrics
    lines = [f"# {markdown_text(content['title'])}", "", markdown_text(content["subtitle"]), ""]
    lines += [f"**{markdown_text(metrics.promotion.reason)}**", ""]
    lines += [f"- {markdown_text(line)}" for line in metrics.warnings] + ([""] if metrics.warnings else [])
    for table in content["tables"]:
        lines += [
            f"## {table.title}",
            "",
            *report_tables.markdown(table.columns, [[cell.text for cell in row.cells] for row in table.rows]),
            "",
        ]
        lines += [*map(markdown_text, table.legend), ""]
    lines += [*map(markdown_text, metrics.notes), ""] if metrics.notes else []
    if content["slice_rows"]:
        rows = [[row.name, str(row.queries), *row.cells] for row in content["slice_rows"]]
        lines += [
            "## Query slices",
            "",
            *report_tables.markdown(["slice", "queries", *content["slice_columns"]], rows),
            "",
        ]
    for part in content["changed"]:
        lines += [f"## {part['title']}", ""]
        lines += [f"- {query.delta:+.3f} {markdown_text(query.text)}" for query in part["queries"]] + [""]
    if data.labels:
        lines += ["## Labels", "", *(f"- {markdown_text(line)}" for line in data.labels), ""]
    return "\n".join(lines).rstrip() + "\n"


def _content(data: ReportData) -> dict[str, Any]:
    """Build the variables of the page template."""
    metrics = data.metrics
    costs = report_tables.costs(metrics, data.featured)
    slice_columns, slice_rows = report_tables.query_slices(metrics)
    frontier = frontier_table(metrics, data.first_stage, data.featured, data.budget_ms)
    quality = report_tables.quality(metrics, data.featured)
    quality.legend.extend(judge_legend(metrics, data.measure))
    return {
        "title": f"{metrics.collection}: {metrics.queries:,} {metrics.split} queries",
        "subtitle": f"Run {data.run}. {report_tables.machine(metrics)}",
        "metrics": metrics,
        "measure": data.measure,
        "tables": [
            *judge_tables(metrics),
            quality,
            *([frontier] if frontier else []),
            *([costs] if costs else []),
            *calibration_tables(metrics),
        ],
        "pictures": _pictures(data),
        "slice_columns": slice_columns,
        "slice_rows": slice_rows,
        "changed": _changed(data),
        "label_lines": list(data.labels),
        "audit": {"text": data.audit[0], "svg": data.audit[1]} if data.audit else None,
    }


def _pictures(data: ReportData) -> list[Picture]:
    """Draw all charts for which there is data."""
    metrics, measure, featured = data.metrics, data.measure, data.featured
    on_list = {key: result for key, result in metrics.systems.items() if result.candidates in (None, data.first_stage)}
    blended = {result.student for result in on_list.values() if result.kind == "blended"}
    # Show only the blended system of a student that has one, because that system is served.
    shown = {key: result for key, result in on_list.items() if result.kind != "student" or result.system not in blended}
    points = [
        (r.system, r.kind, r.latency_ms.p50, r.measures[measure])
        for r in shown.values()
        if r.latency_ms and r.candidates
    ]
    levels = {
        r.system: r.measures[measure]
        for key, r in shown.items()
        if not (r.latency_ms and r.candidates)
        and (key == metrics.baseline or r.kind in ("teacher", "first_stage", "base"))
    }
    pictures = []
    if points:
        caption = (
            f"{measure} on {data.first_stage}'s candidates against the latency of one query of 50 documents. Filled: "
            "systems on the Pareto front (no other system is faster and better). Dashed: systems without a measured "
            "latency."
        )
        pictures.append(Picture(charts.quality_by_latency(points, levels, measure, data.budget_ms), caption))
    if featured and metrics.baseline:
        values = [
            data.values[featured][measure][q] - value for q, value in data.values[metrics.baseline][measure].items()
        ]
        picture = charts.differences(values, measure, featured, metrics.baseline)
        pictures.append(Picture(picture, f"{featured} minus {metrics.baseline} for each query, worst first."))
    if data.reliability:
        picture = charts.bars(data.reliability, "rank in the teacher's order", "share relevant")
        pictures.append(
            Picture(
                picture,
                "Reliability of the teacher: share of relevant documents at each rank of its order, on the test lists.",
            )
        )
    for name in ("loss", "validation nDCG@10"):
        curves = {student: series[name] for student, series in data.curves.items() if len(series.get(name, ())) > 1}
        if curves:
            pictures.append(Picture(charts.lines(curves, "step", name), f"Training: {name} by optimizer step."))
    return pictures


def _changed(data: ReportData) -> list[dict[str, Any]]:
    """Collect the queries with the largest losses and gains, losses first."""
    featured, baseline, measure = data.featured, data.metrics.baseline, data.measure
    if featured is None or baseline is None:
        return []
    queries = {query.query_id: query.text for query in data.collection.test}
    texts = {document.doc_id: document.content for document in data.collection.documents}
    sides = [RankedSystem(key, data.runs[key], data.values[key][measure]) for key in (featured, baseline)]
    parts = []
    for title, worse in (("Queries that got worse", True), ("Queries that got better", False)):
        changed: list[ChangedQuery] = changed_queries(
            sides[0], sides[1], queries, texts, data.collection.qrels, SHOWN_QUERIES, worse
        )
        if changed:
            note = (
                f"{measure} of {featured} minus {baseline}, largest change first, with the top documents of both and "
                "their grades."
            )
            parts.append({"title": title, "note": note, "queries": changed})
    return parts
