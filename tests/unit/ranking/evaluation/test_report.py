"""Tests of the report: complete, self-contained, and safe with untrusted texts."""

import html
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from ranking.audit.audit_report import audit
from ranking.audit.picture import svg_of
from ranking.collections.collection import GeneratedQueries
from ranking.content_policy import hash_source
from ranking.evaluation.comparison import measure
from ranking.evaluation.report import ReportData, html_of, label_section, markdown_of
from ranking.evaluation.report.markdown_text import markdown_text
from ranking.evaluation.results import LabelCost, Latency, Machine, Metrics
from ranking.records import Answer, TokenCounts
from ranking.runs.stages import Manifest
from tests.testing.calibration import calibration
from tests.testing.kitchen_collection import SETTINGS, kitchen_collection, system
from tests.testing.synthetic_labels import label_of

EVIL = "<script>alert('x')</script> & \"quotes\""


@pytest.fixture
def collection():
    return kitchen_collection()


@pytest.fixture
def data(collection):
    collection.test[0] = collection.test[0].model_copy(update={"text": EVIL})
    collection.documents[0] = collection.documents[0].model_copy(update={"text": EVIL})
    systems = [
        system("first_stage", "bm25", ["d3", "d2", "d1"]),
        system("student", "s", ["d1", "d2", "d3"], "bm25"),
        system("student", "t", ["d2", "d1", "d3"], "bm25"),
    ]
    for timed, ms in zip(systems[1:], (20.0, 5.0), strict=True):
        timed.result.latency_ms, timed.result.documents_per_second = Latency(p50=ms, p95=ms), 1000.0
    metrics, values = measure(collection, systems, SETTINGS)
    metrics.machine = Machine(processor="A processor", cores=2, threads=2)
    return ReportData(
        run="r",
        collection=collection,
        metrics=metrics,
        runs={one.key: one.run for one in systems},
        values=values,
        budget_ms=100,
        curves={"s": {"loss": [(1, 0.9), (2, 0.5)], "validation nDCG@10": [(1, 0.6), (2, 0.7)]}},
        reliability=[("1", 0.8, 4), ("2", 0.4, 4)],
        labels=["9 labels by a teacher."],
        audit=("An audit.", '<svg xmlns="http://www.w3.org/2000/svg"></svg>'),
    )


def test_report_on_generated_queries_says_so(collection):
    collection.generated = GeneratedQueries("model-x", 30, 12, test=4, round_trip_depth=20)
    systems = [system("first_stage", "bm25", ["d3", "d2", "d1"]), system("student", "s", ["d1", "d2", "d3"], "bm25")]
    metrics, values = measure(collection, systems, SETTINGS)
    runs = {one.key: one.run for one in systems}
    data = ReportData(run="r", collection=collection, metrics=metrics, runs=runs, values=values)
    for text in (html.unescape(html_of(data)), markdown_of(data)):
        assert "kitchen: 4 generated test queries" in text
        assert "Systems, on generated queries" in text
        assert (
            "test queries were generated from documents by model-x: each has a single known relevant document" in text
        )
        assert "On generated queries only: " in text
    assert metrics.on_generated_queries
    collection.generated = GeneratedQueries("model-x", 30, 12, test=0, round_trip_depth=20)
    metrics, _ = measure(collection, systems, SETTINGS)
    assert (metrics.split, metrics.on_generated_queries) == ("test", False)
    assert not any("generated" in line for line in [*metrics.warnings, metrics.promotion.reason])


class Page(HTMLParser):
    """An HTML parser that collects the tags, the URLs they load, and the tags that are not closed."""

    VOID = {"meta", "link", "br", "line", "rect", "circle", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_well_formed_and_loads_and_runs_nothing(data):
    page = Page(html_of(data))
    assert page.open == []
    assert page.loads == ["data:,"]  # no icon
    assert "script" not in page.tags
    assert page.tags.count("figure") == 6  # latency, differences, reliability, two curves, audit
    assert "&lt;script&gt;" in html_of(data)
    assert "A processor, 2 of 2 cores" in html_of(data)


def test_policy_allows_only_the_styles_of_the_page_and_of_the_audit(data):
    data.audit = ("An audit.", svg_of(audit([], shuffled=True, seed=1), "<style>a{}</style>"))
    page = html_of(data)
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)[1])
    styles = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert len(styles) == 2
    assert re.findall("'sha256-.*?'", policy) == [hash_source(style) for style in styles]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_control_characters_of_texts_become_visible_escapes(data):
    data.collection.test[0].text = "nul\0 high\ud800 \u202eright to left"
    assert r"nul\x00 high\ud800 \u202eright to left" in html_of(data).encode("utf-8").decode("utf-8")


def test_page_shows_decision_warnings_and_changed_queries(data):
    text = html_of(data)
    assert data.metrics.promotion.reason in text
    assert data.metrics.warnings[0] in text
    assert data.featured == "t@bm25"  # four times as fast as s, and not significantly worse
    assert "Queries that got better" in text
    assert "Queries that got worse" not in text
    assert text.count("<details") == 4


def test_both_reports_mark_the_students_that_are_dominated(data):
    data.metrics.systems["s@bm25"].measures[data.measure] = 0.1
    row = "| s | 0.100 | 20.0 | 20.0 | 1,000 | yes | t |"
    assert row in markdown_of(data).replace(" |  |", " |")
    page = html_of(data)
    assert "Quality and latency of the students" in page
    assert re.search(r'<td class="">s</td><td class="">0.100</td>.*<td class="left">t</td></tr>', page)


def test_markdown_has_the_tables_and_escapes_texts(data):
    text = markdown_of(data)
    assert "| s | bm25 | 0.875 |" in text
    assert "## Query slices" in text
    assert "&lt;script>" in text
    assert "<script>" not in text


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://host/pixel.png)",
        "[x](javascript:alert(1))",
        "[x]: http://host/reference",
        "<img src=http://host/pixel.png>",
        "<http://host>",
        r"\![x](a) \\[y](b)",
        "`code` | ![x][y]",
        "http://host/path www.host.com someone@host.com",
        "&lt;b&gt; &#60;i>",
    ],
)
def test_markdown_renders_hostile_text_as_plain_text(text):
    markdown = MarkdownIt("commonmark").enable("table")
    (paragraph,) = [token for token in markdown.parse(f"- {markdown_text(text)}") if token.type == "inline"]
    assert {token.type for token in paragraph.children} <= {"text", "text_special"}
    assert "".join(token.content for token in paragraph.children) == text


def test_markdown_breaks_bare_links_of_github():
    escaped = markdown_text("http://host/path WWW.host.com someone@host.com nDCG@10")
    assert escaped == "http&#58;//host/path WWW&#46;host.com someone&#64;host.com nDCG@10"


def test_markdown_report_escapes_all_texts(data):
    image = "![x](http://host/pixel.png)"
    for query in data.collection.test:
        query.text = f"{image} {query.text}"
    data.metrics.collection, data.metrics.promotion.reason = image, image
    data.metrics.warnings, data.metrics.notes, data.labels = [image], [image], [image]
    assert r"!\[x\](http&#58;//host/pixel.png)" in (text := markdown_of(data))
    assert image not in text
    assert "](http" not in text.replace(r"\](", "")


def test_best_other_system_is_featured_without_students(collection):
    systems = [system("first_stage", "bm25", ["d3", "d2", "d1"]), system("run", "theirs", ["d1", "d2", "d3"])]
    metrics, values = measure(collection, systems, SETTINGS)
    data = ReportData("r", collection, metrics, {one.key: one.run for one in systems}, values)
    assert data.featured == "theirs"
    assert "documents/s" not in html_of(data)
    alone, values = measure(collection, systems[:1], SETTINGS)
    page = html_of(ReportData("r", collection, alone, {"bm25": systems[0].run}, values))
    assert "Queries that got" not in page


def test_label_lines_show_cost_tiers_and_parse_statuses():
    manifest = Manifest(
        stage="labels",
        fingerprint="f",
        rows_in=4,
        rows_out=4,
        rejected=0,
        seconds=1800,
        tokens=TokenCounts(prompt=900, completion=80),
        engines=1,
        versions={},
        settings={},
    )
    sample = [
        label_of(["d1", "d2"]),
        label_of(["d1"]).model_copy(update={"answer": Answer(parse_status="truncated"), "confidence": 0.5}),
    ]
    cost = label_section.cost_of([manifest], 4.0)
    lines = label_section.lines_of(sample, cost, "a teacher")
    assert lines[0] == "4 labels by a teacher: 900 prompt tokens, 80 completion tokens, 1,800 s."
    assert lines[1] == (
        "Cost: 2.00, 500.00 per 1,000 labels "
        "(compute.engine_hour_price for all engines, token prices for hosted models)."
    )
    assert "1.5 listed" in lines[2]
    assert lines[3] == "Parse status of answers: 50.0% ok, 50.0% truncated."
    assert lines[4].endswith("several prompt orders): 0.50.")


def test_reliability_is_the_share_of_relevant_documents_by_rank():
    label = label_of(["d2", "d1"])
    qrels = {label.query_id: {"d2": 1, "d1": 0}}
    bands = label_section.reliability_of([label], qrels)
    assert bands[0] == ("1", 1.0, 1)
    assert bands[1] == ("2", 0.0, 1)
    assert label_section.reliability_of([label], {}) == []


def test_cost_table_shows_label_costs(data):
    assert "label tokens" not in markdown_of(data)
    systems = data.metrics.systems
    systems["s@bm25"].label_cost = LabelCost(
        labels=1200, prompt_tokens=3_000_000, completion_tokens=456, seconds=60, price=7.5
    )
    text = markdown_of(data)
    (row,) = [line for line in text.splitlines() if line.startswith("| s | 1,000 |")]
    assert "| labels | label tokens | label cost |" in text
    assert row.endswith("| 1,200 | 3,000,456 | 7.50 |")
    assert "Cost: all engines" in text
    systems["s@bm25"].label_cost.price = None
    assert "label cost" not in markdown_of(data)


def test_recorded_rankings_are_free_and_rationales_are_counted():
    recorded = Manifest(
        stage="labels", fingerprint="f", rows_in=4, rows_out=4, rejected=0, seconds=9, versions={}, settings={}
    )
    assert label_section.cost_of([recorded], 4.0).price is None
    labelled = recorded.model_copy(
        update={"tokens": TokenCounts(prompt=90, completion=10), "seconds": 1800, "engines": 1}
    )
    rationales = recorded.model_copy(
        update={"tokens": TokenCounts(prompt=7, completion=3), "seconds": 900, "rows_out": 99, "engines": 1}
    )
    assert label_section.cost_of([recorded, rationales], 4.0).price == pytest.approx(1.0)
    assert label_section.cost_of([labelled, rationales], 4.0) == LabelCost(
        labels=4, prompt_tokens=97, completion_tokens=13, seconds=2700, price=3.0
    )


def test_each_stage_is_priced_by_its_engines():
    stage = Manifest(
        stage="labels", fingerprint="f", rows_in=4, rows_out=4, rejected=0, seconds=1800, versions={}, settings={}
    )
    labels = stage.model_copy(update={"tokens": TokenCounts(prompt=90), "engines": 4})
    llm_rationales = stage.model_copy(update={"tokens": TokenCounts(prompt=9), "engines": 1})
    extractive_rationales = stage.model_copy(update={"seconds": 3600})
    assert label_section.cost_of([labels, llm_rationales, extractive_rationales], 2.0).price == pytest.approx(
        2.0 * (4 / 2 + 1 / 2)
    )


def test_report_shows_calibration_and_thresholds_of_each_student(data):
    assert "Thresholds" not in markdown_of(data)
    data.metrics.calibrations = {"s": calibration(), "t": calibration(source="judgements", relevant_grade=2, ece=0.021)}
    text, page = markdown_of(data), html_of(data)
    for line in (
        "| s | the teacher's labels | 1,200 | 120 | 0.234 | 0.012 | 0.345 | 0.101 |",
        "| t | human judgements of grade 2 or more | 1,200 | 120 | 0.234 | 0.021 | 0.345 | 0.101 |",
        "| s | 0.5 | 0.750 | 0.625 | 0.083 |",
        "| t | 0.9 |  | 0.000 | 0.000 |",
    ):
        assert line in text
    for title in ("Calibrated scores", "Thresholds"):
        assert f"## {title}\n" in text
        assert f"<h2>{title}</h2>" in page
    assert '<td class="">0.625</td>' in page
    assert Page(page).open == []


def test_metrics_with_calibrations_are_read_back(data):
    data.metrics.calibrations = {"s": calibration()}
    text = data.metrics.with_checksum().to_json()
    assert Metrics.model_validate_json(text).calibrations == {"s": calibration()}
