"""Attacks on the running service: slow and huge bodies, foreign hosts, one key against another, hostile browsers."""

import asyncio
import concurrent.futures
import shutil
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.testing.serving import QUERY, TEXTS
from tools.raw_connections import RawConnections

pytestmark = pytest.mark.timeout(600)


def health_during(attack):
    """Run a coroutine while /health is requested again and again. Returns the statuses."""

    async def run(service):
        statuses, done = set(), asyncio.Event()

        async def probe():
            async with httpx.AsyncClient(timeout=60) as client:
                while not done.is_set():
                    statuses.add((await client.get(f"{service.url}/health")).status_code)
                    await asyncio.sleep(0.1)

        probing = asyncio.create_task(probe())
        result = await attack(service)
        done.set()
        await probing
        return statuses, result

    return run


def test_slow_bodies_without_a_key_are_refused_from_their_headers(service):
    @health_during
    async def attack(service):
        async with RawConnections(service.url) as connections:
            await connections.open_slow_bodies(300, None)
            deadline = time.monotonic() + 60
            while connections.statuses()["open"] and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            return connections.statuses()

    statuses, answers = asyncio.run(attack(service))
    assert statuses == {200}
    assert answers == {"401": 300}


def test_slow_bodies_with_a_key_are_limited_and_time_out(service):
    async def attack():
        async with RawConnections(service.url) as connections:
            await connections.open_slow_bodies(100, "secret", length=1000)
            deadline = time.monotonic() + 60
            while connections.statuses()["open"] and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            return connections.statuses()

    assert asyncio.run(attack()) == {"408": 12, "429": 88}  # 12 is max_requests_per_key
    assert service.rerank().status_code == 200


def test_bodies_without_a_key_get_401_whatever_they_contain(service):
    for body in (b"not json", b"[" + b"[]," * 100_000 + b"[]]", b""):
        assert httpx.post(f"{service.url}/v1/rerank", content=body).status_code == 401


def test_a_saturating_key_leaves_room_for_another(service):
    service.write_keys("secret", "another")
    other = {"authorization": "Bearer another"}
    deadline = time.monotonic() + 15
    while service.rerank(headers=other).status_code == 401 and time.monotonic() < deadline:
        time.sleep(0.5)
    texts = [f"{text} {n}" for n in range(80) for text in TEXTS]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        large = [pool.submit(service.rerank, texts) for _ in range(10)]
        small = [service.rerank(TEXTS[:2], headers=other).status_code for _ in range(5)]
        statuses = {future.result().status_code for future in large}
    service.write_keys("secret")
    assert small == [200] * 5
    assert statuses <= {200, 429}


def test_long_documents_get_the_scores_of_the_saved_model(service):
    texts = [f"{TEXTS[0]} " + "and so on " * 4000, "\u00e9" * 90_000]
    results = service.client.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()
    scores = {result["index"]: result["score"] for result in results}
    assert [scores[i] for i in range(2)] == pytest.approx(service.scores(texts=texts), abs=1e-3)


def test_feedback_for_an_invented_exposure_is_refused(service):
    for exposure in ("e1", "0b2c.0b2c", "\U0001f600"):
        event = {"exposure_id": exposure, "kind": "click", "position": 1}
        response = service.client.post("/v1/feedback", json=event)
        assert (response.status_code, response.json()["message"]) == (
            422,
            "exposure_id: not an id that this service has returned",
        )


def test_a_redirect_never_repeats_the_host_header(service):
    for path in ("/docs/", "/v1/rerank/", "//attacker.example/%2f..", "/page"):
        response = service.client.get(path, headers={"host": "attacker.example"})
        assert "location" not in response.headers, path


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_api_docs_in_a_browser_load_nothing_from_other_servers(service, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        hosts, errors = set(), []
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{service.url}/docs")
        page.wait_for_selector("text=Rerank >> nth=0")
        page.screenshot(path=tmp_path / "docs.png")
        assert errors == []
        assert hosts <= {urlsplit(service.url).netloc, ""}
        page.goto(service.url)
        page.wait_for_selector("#key:not([hidden])")
        # the policy of the page forbids what an injected element would do
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.injected = 1\">')")
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.injected = 1'}))"
        )
        page.wait_for_timeout(500)
        assert page.evaluate("window.injected") is None
        browser.close()
