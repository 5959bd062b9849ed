"""Live behaviour of the service: new champions, experiments, killed replicas, metrics, the page and fuzzing."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import time
from collections import Counter

import httpx
import psutil
import pytest

from actors.serving.judgements import JUDGEMENTS, QRELS
from ranking.ab_test.exposure_records import FEEDBACK, SERVING, FeedbackEvent
from ranking.storage.folder import Folder
from tests.testing.metrics import total, wait_for_increase, wait_for_total
from tests.testing.odd_bodies import odd_requests
from tests.testing.serving import QUERY, order

pytestmark = pytest.mark.timeout(600)


def kill_replicas():
    replicas = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ServeReplica:rradistill:Ingress" in " ".join(process.info["cmdline"] or [])
    ]
    assert replicas
    for replica in replicas:
        replica.kill()


def rerank_with_retries(service, retries):
    """Send a request, repeat it while it fails, and return the response."""
    while True:
        try:
            return service.rerank().raise_for_status()
        except httpx.HTTPError:
            if not retries:
                raise
            retries -= 1


def test_promotion_and_rollback_lose_no_request(service):
    versions, stop = [], time.monotonic() + 120

    def send_requests(_):
        seen = []
        while time.monotonic() < stop and not done:
            response = service.rerank()
            assert response.status_code == 200
            name = response.headers["x-model-version"]
            assert [result["index"] for result in response.json()["results"]] == orders[name]
            seen.append(name)
        return seen

    done, orders = [], {name: order(service.scores(name)) for name in "ab"}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(send_requests, n) for n in range(4)]
        time.sleep(2)
        for name, change in (
            ("b", lambda: service.registry.promote_again("b", "test")),
            ("a", lambda: service.registry.rollback("test")),
        ):
            change()
            while service.rerank().headers["x-model-version"] != name and time.monotonic() < stop:
                time.sleep(0.2)
        done.append(True)
        for future in futures:
            versions += future.result()
    assert {"a", "b"} == set(versions)
    assert service.rerank().headers["x-model-version"] == "a"


def test_a_broken_champion_is_not_served(service, cluster, tmp_path):
    broken = Folder(tmp_path / "broken")
    service.models["b"].copy_to(broken)
    registry = service.registry
    registry.add(broken, "broken")
    (registry.folder / "broken").write_text("rradistill.json", "{}")
    name, outcome = "ray_rradistill_serve_loaded_total", 'outcome="failed"'
    before = total(cluster["METRICS"], name, outcome)
    registry._change(
        registry._pointer.read(),
        "broken",
        registry.checksum_of("broken"),
        "promote",
        "test",
        "bypasses the check of promote_again",
    )
    try:
        assert wait_for_increase(cluster["METRICS"], before, name, outcome) > before
        assert service.rerank().headers["x-model-version"] == "a"
        kill_replicas()
        assert rerank_with_retries(service, retries=1).headers["x-model-version"] == "a"
    finally:
        registry.rollback("test")
        shutil.rmtree((registry.folder / "broken").path)


def test_split_experiment_serves_and_records_both_arms(service):
    orders = {name: [str(i) for i in order(service.scores(name))] for name in "ab"}
    seen = {}
    for n in range(40):
        responses = [service.rerank(headers={"x-experiment-key": f"user-{n}"}, top_n=3) for _ in range(2)]
        assert responses[0].headers["x-arm"] == responses[1].headers["x-arm"]
        version = {"champion": "a", "challenger": "b"}[responses[0].headers["x-arm"]]
        assert responses[0].headers["x-model-version"] == version
        assert [str(result["index"]) for result in responses[0].json()["results"]] == orders[version][:3]
        seen[responses[0].headers["x-exposure-id"]] = version
    assert 8 < sum(version == "b" for version in seen.values()) < 32
    assert "x-arm" not in service.rerank().headers
    exposure = next(iter(seen))
    for _ in range(2):
        event = {"exposure_id": exposure, "kind": "click", "position": 2, "event_id": "e1"}
        assert service.client.post("/v1/feedback", json=event).json() == {"event_id": "e1"}
    assert (
        service.client.post("/v1/feedback", json={"exposure_id": exposure, "kind": "glance", "position": 1}).status_code
        == 422
    )
    for row in service.exposures(seen):
        version = seen[row.exposure_id]
        assert (row.version, row.shown, row.share, row.experiment) == (version, orders[version][:3], 0.5, "first")
        assert QUERY not in row.query
        assert "user" not in row.key
    folder, deadline, events = service.storage / SERVING / FEEDBACK, time.monotonic() + 20, []
    while len(events) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
        events = list(folder.read_rows(FeedbackEvent)) if folder.exists() else []
    assert [(event.event_id, event.position) for event in events] == [("e1", 2)] * 2


def test_one_retry_is_enough_when_replicas_are_killed(service):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(rerank_with_retries, service, retries=1) for _ in range(40)]
        kill_replicas()
        for future in futures:
            future.result()


def test_metrics_are_tagged_with_route_and_version(service, cluster):
    for _ in range(3):
        assert service.client.get("/v2/rerank").status_code == 405
    name = "ray_rradistill_serve_requests_total"
    assert wait_for_total(cluster["METRICS"], 3, name, 'route="/v2/rerank"', 'status="405"') == 3
    service.rerank()
    assert (
        wait_for_increase(
            cluster["METRICS"], 0, "ray_rradistill_serve_documents_total", 'version="a"', 'arm="champion"'
        )
        > 0
    )
    for name in ("queue_seconds_count", "score_seconds_count", "batch_fill_count", "request_seconds_count"):
        assert total(cluster["METRICS"], f"ray_rradistill_serve_{name}") > 0, name


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_page_in_a_browser(service, tmp_path):
    from playwright.sync_api import sync_playwright

    queries = service.client.get("/page/queries").json()["queries"]
    searches = [service.client.get("/page/search", params={"query": query}).json() for query in queries]
    judged = next(search["query"] for search in searches if any(doc["grade"] for doc in search["documents"]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, scheme in ((1200, "light"), (390, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            errors = []
            page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            page.goto(service.url)
            page.wait_for_selector("#key:not([hidden])")
            assert "the API key is missing or unknown" in page.inner_text("#status")
            page.fill("#key", "secret")
            page.keyboard.press("Tab")
            page.wait_for_selector("#test-queries:not([hidden])")
            page.select_option("#test-queries", judged)
            page.wait_for_selector("li.result:visible")
            assert page.locator("h2").all_text_contents() == ["first stage", "champion", "challenger"]
            counts = {column.locator("li.result").count() for column in page.locator(".column").all()}
            assert len(counts) == 1
            champion = page.locator(".column:visible").nth(0 if width < 800 else 1)
            assert champion.locator(".grade:not(.zero)").first.text_content() == "grade 1"
            champion.locator(".head").first.focus()
            page.keyboard.press("Enter")
            assert page.locator("li[data-open=true]").count() == 1
            page.fill("#query", "melting sand <b>with</b> lime")
            page.keyboard.press("Enter")
            page.wait_for_selector("mark:has-text('sand'):visible")
            assert "with" not in page.locator("mark").all_text_contents()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("path").count() == 2 * counts.pop()
            page.locator(".column:visible .head").first.focus()
            page.keyboard.press("2")
            page.wait_for_selector("text=Grade 2 saved")
            assert not errors
            page.screenshot(path=tmp_path / f"page-{width}.png")
        browser.close()
    qrels = (service.storage / SERVING / JUDGEMENTS / "served").read_text(QRELS).splitlines()
    assert [line.rpartition("\t")[2] for line in qrels] == ["2"]


FUZZ = """
import os, schemathesis
from hypothesis import HealthCheck, settings
schema = schemathesis.openapi.from_url(os.environ["SERVICE"] + "/openapi.json")

@schema.parametrize()
@settings(max_examples=int(os.environ["EXAMPLES"]), deadline=None, suppress_health_check=list(HealthCheck))
def test_fuzzed(case):
    response = case.call(headers={"authorization": "Bearer secret"}, timeout=60)
    assert response.status_code < 500, response.text
    with open("count", "a") as stream:
        stream.write(".")
"""


def test_fuzzed_requests_cause_no_server_errors(service, tmp_path):
    """Fuzz each route with 30 examples. Set FUZZ=2000 for more."""
    (tmp_path / "test_fuzz.py").write_text(FUZZ)
    environment = {**os.environ, "SERVICE": service.url, "EXAMPLES": os.environ.get("FUZZ", "30")}
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_fuzz.py")]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=560)
    assert done.returncode == 0, done.stdout[-3000:]
    requests = (tmp_path / "count").stat().st_size
    print(f"{requests:,} requests")
    assert requests > 3 * int(environment["EXAMPLES"])  # routes without parameters have only one possible request
    assert service.rerank().status_code == 200


def test_odd_bodies_cause_no_server_errors(service):
    """Send 120 malformed bodies. Set FUZZ=2000 for 8,000."""
    count = 4 * int(os.environ.get("FUZZ", "30"))
    statuses = Counter()
    for number, (route, body, headers) in enumerate(odd_requests(count)):
        response = service.client.post(
            route, content=body, headers={name: value.encode("latin-1") for name, value in headers.items()}
        )
        assert response.status_code < 500, (number, route, body[:300], response.text[:300])
        assert "Traceback" not in response.text
        statuses[response.status_code] += 1
    assert {200, 422} <= statuses.keys()
    assert service.rerank().status_code == 200
