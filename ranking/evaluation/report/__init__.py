"""The report of an evaluation: one page that needs nothing beside it, and the same in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from ranking.collections.collection import Collection
from ranking.evaluation.comparison import COMPETING, PerQuery
from ranking.evaluation.decision import name_of, served
from ranking.evaluation.report import charts, tables
from ranking.evaluation.report.differences import ChangedQuery, RankedSystem, changed_queries
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun

SHOWN_QUERIES = 8


@dataclass(frozen=True)
class Picture:
    """An SVG and what it shows, in a sentence."""

    svg: str
    caption: str


@dataclass
class ReportData:
    """All that a report is made of.

    runs, values: of every system, by its key. curves: {student: {"loss" or "validation nDCG@10": [(step, value)]}}.
    reliability: (places in the teacher's order, share of relevant documents, how many). labels: lines about the labels.
    audit: text and picture, where the teacher was audited.
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
        """The measure that decides."""
        return next(iter(next(iter(self.metrics.systems.values())).measures))

    @property
    def featured(self) -> str | None:
        """The system shown in detail: the decision's student as served, else the best competing system, else the best that is compared."""
        systems, measure = self.metrics.systems, self.measure
        for key, result in served(systems, self.first_stage).items():
            if name_of(result) == self.metrics.verdict.champion:
                return key
        others = [key for key in systems if key != self.metrics.control]
        competing = [key for key in others if systems[key].kind in COMPETING]
        return max(competing or others, key=lambda key: systems[key].measures[measure], default=None)


def html_of(findings: ReportData) -> str:
    """The page. Texts of the collection are escaped."""
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(_content(findings))


def markdown_of(findings: ReportData) -> str:
    """The tables, the warnings and the changed queries as Markdown."""
    content = _content(findings)
    metrics = findings.metrics
    lines = [f"# {content['title']}", "", content["subtitle"], "", f"**{metrics.verdict.reason}**", ""]
    lines += [f"- {line}" for line in metrics.warnings] + ([""] if metrics.warnings else [])
    for table in content["tables"]:
        lines += [
            f"## {table.title}",
            "",
            *tables.markdown(table.columns, [[cell.text for cell in row.cells] for row in table.rows]),
            "",
        ]
        lines += [*table.legend, ""]
    lines += [*metrics.notes, ""] if metrics.notes else []
    if content["class_rows"]:
        rows = [[row.name, str(row.queries), *row.cells] for row in content["class_rows"]]
        lines += [
            "## Kinds of queries",
            "",
            *tables.markdown(["queries", "number", *content["class_columns"]], rows),
            "",
        ]
    for part in content["changed"]:
        lines += [f"## {part['title']}", ""]
        lines += [f"- {query.delta:+.3f} {_plain(query.text)}" for query in part["queries"]] + [""]
    if findings.labels:
        lines += ["## Labels", "", *(f"- {line}" for line in findings.labels), ""]
    return "\n".join(lines).rstrip() + "\n"


def _content(findings: ReportData) -> dict[str, Any]:
    metrics = findings.metrics
    costs = tables.costs(metrics, findings.featured)
    class_columns, class_rows = tables.classes(metrics)
    return {
        "title": f"{metrics.collection}: {metrics.queries:,} {metrics.split} queries",
        "subtitle": f"Run {findings.run}. {tables.machine(metrics)}",
        "metrics": metrics,
        "measure": findings.measure,
        "tables": [tables.quality(metrics, findings.featured), *([costs] if costs else [])],
        "pictures": _pictures(findings),
        "class_columns": class_columns,
        "class_rows": class_rows,
        "changed": _changed(findings),
        "label_lines": list(findings.labels),
        "audit": {"text": findings.audit[0], "svg": findings.audit[1]} if findings.audit else None,
    }


def _pictures(findings: ReportData) -> list[Picture]:
    metrics, measure, featured = findings.metrics, findings.measure, findings.featured
    here = {key: result for key, result in metrics.systems.items() if result.candidates in (None, findings.first_stage)}
    blended = {result.student for result in here.values() if result.kind == "blended"}
    shown = {
        key: result for key, result in here.items() if result.kind != "student" or result.system not in blended
    }  # as served
    points = [
        (r.system, r.kind, r.latency_ms.p50, r.measures[measure])
        for r in shown.values()
        if r.latency_ms and r.candidates
    ]
    levels = {
        r.system: r.measures[measure]
        for key, r in shown.items()
        if not (r.latency_ms and r.candidates)
        and (key == metrics.control or r.kind in ("teacher", "first_stage", "base"))
    }
    pictures = []
    if points:
        caption = (
            f"{measure} over {findings.first_stage}'s candidates against the time of one query of 50 documents. "
            "Filled: no system here is both faster and better. Dashed: systems without such a time."
        )
        pictures.append(Picture(charts.quality_by_latency(points, levels, measure, findings.budget_ms), caption))
    if featured and metrics.control:
        values = [
            findings.values[featured][measure][q] - held
            for q, held in findings.values[metrics.control][measure].items()
        ]
        picture = charts.differences(values, measure, featured, metrics.control)
        pictures.append(Picture(picture, f"{featured} minus {metrics.control}, query by query, worst first."))
    if findings.reliability:
        picture = charts.bars(findings.reliability, "place in the teacher's order", "relevant")
        pictures.append(
            Picture(
                picture,
                "How reliable the teacher is: the share of relevant documents at each place of its order of the test lists.",
            )
        )
    for name in ("loss", "validation nDCG@10"):
        curves = {student: held[name] for student, held in findings.curves.items() if len(held.get(name, ())) > 1}
        if curves:
            pictures.append(Picture(charts.lines(curves, "step", name), f"Training: {name} by optimizer step."))
    return pictures


def _changed(findings: ReportData) -> list[dict[str, Any]]:
    """Losses before gains."""
    featured, control, measure = findings.featured, findings.metrics.control, findings.measure
    if featured is None or control is None:
        return []
    queries = {query.query_id: query.text for query in findings.collection.test}
    texts = {document.doc_id: document.content for document in findings.collection.documents}
    sides = [RankedSystem(key, findings.runs[key], findings.values[key][measure]) for key in (featured, control)]
    parts = []
    for title, worse in (("Queries that got worse", True), ("Queries that got better", False)):
        found: list[ChangedQuery] = changed_queries(
            sides[0], sides[1], queries, texts, findings.collection.qrels, SHOWN_QUERIES, worse
        )
        if found:
            note = f"{measure} of {featured} minus {control}, largest change first; what each of them puts first, with its grade."
            parts.append({"title": title, "note": note, "queries": found})
    return parts


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
