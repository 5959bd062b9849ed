"""Pages with hostile texts in Chromium: nothing runs, nothing is loaded, and the texts are visible as text."""

import functools
import json
import re
import shutil
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from actors.serving.http_api.page import CONTENT_SECURITY_POLICY, PAGE
from ranking.audit.audit_report import audit
from ranking.audit.audit_text import format_audit
from ranking.audit.picture import svg_of
from ranking.audit.shown_answers import ShownAnswer
from ranking.collections.collection import Collection
from ranking.evaluation.comparison import System, measure
from ranking.evaluation.evaluation_settings import EvaluationSettings
from ranking.evaluation.report import ReportData, html_of
from ranking.evaluation.results import Latency, Machine, QuerySlice, SystemResult
from ranking.labels.listwise_answers import ParsedAnswer
from ranking.records import Document, Query
from ranking.storage.folder import Folder
from ranking.terminal_text import printable
from tests.testing.hostile_texts import HOSTILE_TEXTS

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
SIZES = ((1200, "light"), (390, "dark"))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class WatchedPage:
    """A page that records what it requests, and each error, message, dialog and window."""

    def __init__(self, browser):
        self.page = browser.new_page()
        self.requests, self.events = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.events.append(str(error)))
        self.page.on("console", lambda message: self.events.append(message.text))
        self.page.on("dialog", lambda dialog: (self.events.append(dialog.message), dialog.dismiss()))
        self.page.on("popup", lambda popup: self.events.append(popup.url))

    def check(self, address, screenshot):
        """Check that nothing ran, that only `address` was loaded, and that the page never scrolls sideways."""
        for width, scheme in SIZES:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme=scheme)
            self.page.mouse.move(width // 2, 300)
            self.page.keyboard.press("Tab")
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width
            self.page.screenshot(path=f"{screenshot}-{width}.png", full_page=True)
        assert self.page.evaluate("window.injected") is None
        assert self.events == []
        assert self.page.url.partition("?")[0] == address
        assert {url for url in self.requests if not url.startswith((address, "data:,"))} == set()
        assert self.page.locator("script[src], iframe, img, object, embed, base, body link, body meta").count() == 0

    def text(self):
        """Return the visible text on one line."""
        return " ".join(self.page.evaluate("document.body.innerText").split())


def abort_and_record(loaded, route):
    loaded.append(route.request.url)
    route.abort()


def report_of(hostile):
    """Render a report in which every text that is not the project's own is hostile."""
    documents = {f"d{n} {hostile}": f"document {n} {hostile}" for n in range(3)}
    queries = {f"q{n} {hostile}": f"query {n} {hostile}" for n in range(3)}
    qrels = {query_id: {next(iter(documents)): 1} for query_id in queries}
    collection = Collection(
        name=f"collection {hostile}",
        fingerprint="f",
        documents=[Document(doc_id=key, text=text) for key, text in documents.items()],
        log=[],
        test=[Query(query_id=key, text=text, frequency=1) for key, text in queries.items()],
        qrels=qrels,
        notes=[f"note {hostile}"],
    )
    names = [f"first stage {hostile}", f"student {hostile}", f"reference {hostile}"]
    settings = EvaluationSettings(measures=["RR@10", "nDCG@10"], permutations=500, baseline="bm25").model_copy(
        update={"first_stages": [names[0]], "baseline": names[0]}
    )
    systems = []
    for n, (name, kind) in enumerate(zip(names, ("first_stage", "student", "model"), strict=True)):
        order = [*list(documents)[2 - n :], *list(documents)[: 2 - n]]
        run = {query_id: {doc_id: -float(rank) for rank, doc_id in enumerate(order)} for query_id in queries}
        candidates = None if kind == "first_stage" else names[0]
        systems.append(System(SystemResult(kind=kind, system=name, candidates=candidates, measures={}), run))
    for timed in systems[1:]:
        timed.result.latency_ms = Latency(p50=20.0, p95=30.0)
    metrics, values = measure(collection, systems, settings)
    metrics.machine = Machine(processor=f"processor {hostile}", cores=2, threads=2)
    metrics.warnings, metrics.notes = [f"warning {hostile}"], [f"note {hostile}"]
    metrics.promotion.reason = f"reason {hostile}"
    means = {one.key: 0.5 for one in systems}
    metrics.query_slices = [QuerySlice(by=f"words {hostile}", name=f"slice {hostile}", queries=3, values=means)]
    answers = [ShownAnswer("q", 3, ParsedAnswer("ok", (2, 1, 3), 0, 0, 0), None, None)]
    teacher_audit = audit(answers, shuffled=True, seed=1)
    data = ReportData(
        run=f"run {hostile}",
        collection=collection,
        metrics=metrics,
        runs={one.key: one.run for one in systems},
        values=values,
        budget_ms=100,
        first_stage=names[0],
        curves={f"student {hostile}": {"loss": [(1, 0.9), (2, 0.5)]}},
        reliability=[("1", 0.8, 4), ("2", 0.4, 4)],
        labels=[f"9 labels by {hostile}."],
        audit=(format_audit(teacher_audit) + f"\n{hostile}", svg_of(teacher_audit, f"teacher {hostile}")),
    )
    return html_of(data)


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_report_shows_hostile_texts_as_text(browser, tmp_path, kind):
    hostile = HOSTILE_TEXTS[kind]
    Folder(tmp_path).write_text("report.html", report_of(hostile))
    address = (tmp_path / "report.html").as_uri()
    watched = WatchedPage(browser)
    watched.page.goto(address)
    watched.page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    watched.check(address, tmp_path / "report")
    shown, visible = " ".join(printable(hostile).split()), watched.text()
    for name in ("collection", "run", "processor", "reason", "warning", "query 0", "note", "words", "9 labels by"):
        assert f"{name} {shown}" in visible, name
    document = " ".join(f"document 0 {hostile}".split())[:179]
    assert " ".join(printable(document).split()) in visible
    drawn = watched.page.evaluate("[...document.querySelectorAll('svg')].map(svg => svg.textContent).join(' ')")
    assert f"student {shown}" in " ".join(drawn.split())
    assert watched.page.locator("svg").count() == 5
    watched.page.close()


def test_the_audit_and_the_report_do_not_change_each_others_style(browser, tmp_path):
    (tmp_path / "report.html").write_text(report_of("text"), encoding="utf-8")
    page = browser.new_page(color_scheme="light")
    page.goto((tmp_path / "report.html").as_uri())
    style = "(selector, name) => getComputedStyle(document.querySelector(selector))[name]"
    styles = page.evaluate(f"""() => {{
        const style = {style};
        return [style("svg.audit .page", "fill"), style("svg.audit .title", "fontSize"), style("p.muted", "fontSize"),
                style("svg .tick", "stroke"), style("svg .dot", "strokeWidth")];
    }}""")
    assert styles == ["rgb(255, 255, 255)", "18px", "15px", "none", "2px"]
    page.close()


def test_the_policy_of_the_report_stops_what_an_injected_element_does(browser, tmp_path):
    """Elements that a mistake in escaping would let through run and load nothing."""
    injected = "<script>window.injected=1</script><img src='http://a.example/x' onerror='window.injected=2'>"
    injected += "<style>body { background: url(http://a.example/y) }</style><b onclick='window.injected=3'>click</b>"
    page_text = report_of("text").replace("<main>", f"<main>{injected}")
    without_policy = re.sub('<meta http-equiv="Content-Security-Policy".*>', "", page_text)
    for name, text, is_safe in (("report", page_text, True), ("without_policy", without_policy, False)):
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
        page, loaded = browser.new_page(), []
        page.route("http://a.example/**", functools.partial(abort_and_record, loaded))
        page.goto((tmp_path / f"{name}.html").as_uri())
        page.click("b")
        assert (page.evaluate("window.injected") is None) == is_safe
        assert (loaded == []) == is_safe
        page.close()


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_demo_page_shows_hostile_texts_as_text(browser, tmp_path, kind):
    """The page of the service, with its policy and answers that contain hostile texts."""
    hostile = HOSTILE_TEXTS[kind].encode("utf-8", "replace").decode("utf-8")  # as JSON answers, which are UTF-8
    documents = [
        {"id": f"id {hostile}", "title": f"title {n} {hostile}", "text": f"text {n} {hostile}", "grade": n}
        | {"saved_grade": None, "matches": [hostile, "text"]}
        for n in range(2)
    ]
    columns = [
        {"role": f"role {n} {hostile}", "version": f"version {n} {hostile}", "blend": f"blend {n} {hostile}"}
        | {"order": [1, 0], "scores": [0.5, 1.0], "milliseconds": 3.0}
        for n in range(2)
    ]
    results = {"query": hostile, "judged": True, "problem": f"problem {hostile}"}
    results |= {"documents": documents, "columns": columns}
    queries = [{"query_id": "q", "text": f"worse {hostile}", "baseline": 1.0, "system": 0.0}]
    worse = {"measure": "RR@10", "system": f"system {hostile}", "baseline": f"baseline {hostile}", "queries": queries}
    answers = {"/page/queries": {"queries": [hostile]}, "/page/search": results, "/page/worse-queries": worse}
    answers |= {"/ready": {}, "/v1/judgements": {"message": f"refused {hostile}"}}

    def answer(route):
        path = urlsplit(route.request.url).path
        if path == "/":
            policy = {"content-security-policy": CONTENT_SECURITY_POLICY}
            route.fulfill(body=PAGE, content_type="text/html", headers=policy)
        else:
            status = 422 if path == "/v1/judgements" else 200
            route.fulfill(status=status, body=json.dumps(answers[path]), content_type="application/json")

    watched = WatchedPage(browser)
    watched.page.route("http://service.test/**", answer)
    watched.page.goto("http://service.test/")
    watched.page.wait_for_selector("#show-worse:not([hidden])")
    watched.page.select_option("#test-queries", index=1)
    watched.page.wait_for_selector("li.result:visible")
    watched.page.click("#show-worse")
    for item in watched.page.locator(".column:visible .head").all():
        item.press("Enter")
    watched.check("http://service.test/", tmp_path / "page")
    watched.page.set_viewport_size({"width": 1200, "height": 900})
    shown, visible = " ".join(hostile.split()), watched.text()
    names = ("version 0", "version 1", "blend 1", "id", "text 0", "text 1", "problem", "worse", "baseline")
    for name in names:
        assert f"{name} {shown}" in visible, name
    watched.page.locator(".column:visible .head").first.press("1")
    watched.page.wait_for_selector("#status.error")
    assert f"refused {shown}" in watched.text()
    assert watched.page.evaluate("window.injected") is None
    watched.page.close()


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_a_hostile_query_in_the_address_is_only_searched(browser, kind):
    hostile = HOSTILE_TEXTS[kind].encode("utf-8", "replace").decode("utf-8")
    asked, answers = [], {"/ready": {}, "/page/queries": {"queries": []}}

    def answer(route):
        address = urlsplit(route.request.url)
        if address.path == "/":
            policy = {"content-security-policy": CONTENT_SECURITY_POLICY}
            route.fulfill(body=PAGE, content_type="text/html", headers=policy)
        elif address.path in answers:
            route.fulfill(body=json.dumps(answers[address.path]), content_type="application/json")
        else:
            asked.append(parse_qs(address.query).get("query", []))
            route.fulfill(status=404, body=json.dumps({"message": "nothing here"}), content_type="application/json")

    watched = WatchedPage(browser)
    watched.page.route("http://service.test/**", answer)
    watched.page.goto(f"http://service.test/?{urlencode({'q': hostile})}")
    watched.page.wait_for_selector("#status.error")
    assert [queries for queries in asked if queries] == [[hostile]]
    assert watched.page.evaluate("window.injected") is None
    assert {url for url in watched.requests if not url.startswith(("http://service.test/", "data:,"))} == set()
    watched.page.close()
