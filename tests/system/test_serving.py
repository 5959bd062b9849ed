"""The service as its users meet it: real clients, a browser, keys, limits, another champion, an experiment, fuzzed requests."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import cohere
import httpx
import psutil
import pytest
import torch
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

from ranking.encoders import model_path
from ranking.experiments.records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.registry import Registry
from ranking.storage import Folder
from students import export, kinds
from students.scoring import Scorer
from students.settings import RraBertSettings
from tests.system.conftest import FACTS, QUESTIONS, ROOT
from tests.system.metrics import settled, total
from tests.system.ports import free_ports

TEXTS = [text for _, text in FACTS]
QUERY = "why does dough get bigger"
PAIRS = [(query, text) for (_, query, _), text in zip(QUESTIONS, TEXTS, strict=True)]
pytestmark = pytest.mark.timeout(600)


def student(folder, seed):
    """A plain classifier with a random head, which spreads its scores."""
    settings = RraBertSettings(head="cls", max_length=64)
    torch.manual_seed(seed)
    model = kinds.build(settings, model_path("minilm")).eval()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=1.0)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, folder, PAIRS)
    return Folder(folder)


class Service:
    """A service of two versions, a and b: a is the champion, b has half of the keys."""

    def __init__(self, place, cluster, collection):
        self.storage = Folder(place / "storage")
        self.registry = Registry(self.storage)
        self.models = {name: student(place / name, seed) for name, seed in (("a", 1), ("b", 2))}
        self.registry.promote(self.models["a"], "a", "made", "for this test")
        self.registry.add(self.models["b"], "b")
        self.keys = place / "keys"
        self.write_keys("secret")
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "run": "served",
            "storage": self.storage.uri,
            "collection.source": f"beir:{collection}",
            "candidates.retrievers": '[{"kind": "bm25"}]',
            "pre_ranker": "null",
            "serving.port": self.port,
            "serving.keys": self.keys,
            "serving.champion_every": 0.5,
            "serving.limits.body_bytes": 500_000,
            "serving.limits.requests_per_key": 12,
            "serving.traffic": json.dumps({"challenger": "b", "experiment": "first"}),
            "serving.record": json.dumps({"exposures": True, "seconds": 1}),
        }
        self.given = ["configs/quickstart.yaml", *(str(part) for k, v in settings.items() for part in (f"--{k}", v))]
        self.environment = {**cluster, "PYTHONUNBUFFERED": "1", "RRADISTILL_JOURNALS": str(place / "journals")}
        self.run("ray_jobs.index")
        self.process = subprocess.Popen([sys.executable, "-m", "ray_jobs.serve", *self.given], cwd=ROOT, env=self.environment)
        self.client = httpx.Client(base_url=self.url, headers={"authorization": "Bearer secret"}, timeout=60)
        self.wait()

    def write_keys(self, *keys):
        self.keys.write_text("".join(f"caller-{n} {hashlib.sha256(key.encode()).hexdigest()}\n" for n, key in enumerate(keys)))

    def run(self, module):
        subprocess.run([sys.executable, "-m", module, *self.given], cwd=ROOT, env=self.environment, check=True, timeout=300)

    def wait(self):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            assert self.process.poll() is None
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError("the service was not ready in time")

    def rerank(self, texts=TEXTS, query=QUERY, headers=None, **more):
        return self.client.post("/v1/rerank", json={"query": query, "documents": texts, **more}, headers=headers or {})

    def scores(self, name="a", texts=TEXTS, query=QUERY):
        return Scorer(self.models[name].path).score([(query, text) for text in texts])


def order(scores):
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


@pytest.fixture(scope="module")
def service(cluster, collection, tmp_path_factory):
    held = Service(tmp_path_factory.mktemp("service"), cluster, collection)
    yield held
    held.client.close()
    held.process.terminate()
    held.process.wait(timeout=60)


def test_the_clients_of_others_get_the_order_of_the_saved_model(service):
    expected = order(service.scores())
    first, second = (made("secret", base_url=service.url) for made in (cohere.Client, cohere.ClientV2))
    for answer in (
        first.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, return_documents=True),
        second.rerank(model="any", query=QUERY, documents=TEXTS, top_n=4, max_tokens_per_doc=512),
    ):
        assert [result.index for result in answer.results] == expected[:4]
        assert all(0 < result.relevance_score < 1 for result in answer.results)
        assert answer.meta.billed_units.search_units == 1
    assert first.rerank(model="any", query=QUERY, documents=[], top_n=4).results == []
    documents = [Document(page_content=text, metadata={"place": i}) for i, text in enumerate(TEXTS)]
    chain = CohereRerank(model="any", client=second, top_n=5)
    assert [one.metadata["place"] for one in chain.compress_documents(documents, QUERY)] == expected[:5]


def test_the_shape_of_text_embeddings_inference(service):
    scores = service.scores()
    found = service.client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}).json()
    assert [one["index"] for one in found] == order(scores)
    assert [one["score"] for one in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-3)
    assert [one["text"] for one in found] == [TEXTS[i] for i in order(scores)]
    plain = service.client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    assert [set(one) for one in plain] == [{"index", "score"}] * len(TEXTS)
    assert all(0 <= one["score"] <= 1 for one in plain)
    assert service.client.post("/rerank", json={"query": QUERY, "texts": []}).json() == []
    refused = service.client.post("/rerank", json={"query": QUERY, "texts": [TEXTS[0], "word " * 200], "truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (413, "validation")
    assert refused.json()["error"].startswith("texts[1] and the query have more than 64 tokens")


def test_documents_as_objects_and_what_else_an_answer_holds(service):
    documents = [{"text": text, "title": "On nature", "id": f"n{i}"} for i, text in enumerate(TEXTS)]
    answer = service.rerank(documents, top_n=3, return_documents=True)
    held = answer.json()
    expected = order(service.scores(texts=[f"On nature\n{text}" for text in TEXTS]))[:3]
    assert [one["index"] for one in held["results"]] == expected
    assert held["results"][0]["document"] == {"text": f"On nature\n{TEXTS[expected[0]]}"}
    assert held["model"] == answer.headers["x-model-version"] == "a"
    assert held["usage"]["total_tokens"] == held["meta"]["tokens"]["input_tokens"] > 12 * 10
    assert "score;dur=" in answer.headers["server-timing"]
    cut = service.rerank(["Salt lowers the freezing point", "Salt lowers other things"], max_tokens_per_doc=2).json()["results"]
    assert [one["index"] for one in cut] == [0, 1]
    assert cut[0]["relevance_score"] == cut[1]["relevance_score"]


def test_many_documents_and_equal_ones(service):
    texts = [TEXTS[i % 12] for i in range(1000)]
    results = service.rerank(texts).json()["results"]
    assert [one["index"] for one in results] == order([service.scores()[i % 12] for i in range(1000)])


def test_scores_do_not_depend_on_who_else_asks(service):
    """Requests of many sizes at once: each raw score is the saved model's."""
    expected = dict(zip(TEXTS, service.scores(), strict=True))
    longer = [f"{text} {TEXTS[n % 5]}" for n, text in enumerate(TEXTS)]
    expected |= dict(zip(longer, service.scores(texts=longer), strict=True))

    def ask(n):
        texts = (TEXTS + longer)[n % 7 : n % 7 + 1 + n % 11]
        found = service.client.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()
        return max(abs(one["score"] - expected[texts[one["index"]]]) for one in found)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(60))) < 1e-3


def test_models_health_and_the_description(service):
    assert {one["id"]: one["role"] for one in service.client.get("/v1/models").json()["data"]} == {"a": "champion", "b": "challenger"}
    bare = httpx.Client(base_url=service.url)
    assert bare.get("/health").json() == {"status": "ok"}
    assert bare.get("/ready").json() == {"status": "ready", "versions": {"champion": "a", "challenger": "b"}}
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/v1/models", "/v1/feedback"} <= set(bare.get("/openapi.json").json()["paths"])


def test_keys_are_asked_for_and_may_change_while_the_service_runs(service):
    def status(headers):
        return httpx.post(f"{service.url}/v1/rerank", json={"query": "q", "documents": ["d"]}, headers=headers).status_code

    assert [status(held) for held in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"})] == [401] * 3
    service.write_keys("secret", "another")
    deadline = time.monotonic() + 15
    while status({"authorization": "Bearer another"}) == 401 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert status({"authorization": "Bearer another"}) == 200
    service.write_keys("secret")
    while status({"authorization": "Bearer another"}) == 200 and time.monotonic() < deadline + 15:
        time.sleep(0.5)
    assert status({"authorization": "Bearer another"}) == 401


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"query": "q", "documents": ["' + b"x" * 600_000 + b'"]}', 413, "the body has more than 500,000 bytes"),
        (b'{"query": "q"', 422, "the body is no valid JSON"),
        (b'{"query": "", "documents": []}', 422, "query: Input should have at least 1 character"),
        (
            b'{"query": "q", "documents": ["a", {"no": 1}]}',
            422,
            "documents[1]: Input should be a valid string; documents[1].text: Field required",
        ),
        (b'{"query": "q", "documents": ["a"], "top_n": 0}', 422, "top_n: Input should be greater than or equal to 1"),
        (json.dumps({"query": "q", "documents": ["a"] * 1001}).encode(), 422, "documents: 1,001 are more than 1,000"),
        (
            json.dumps({"query": "q", "documents": ["a", "b" * 100_001]}).encode(),
            422,
            "documents[1]: 100,001 characters are more than 100,000",
        ),
        (b'{"query": "\xff", "documents": []}', 400, "There was an error parsing the body"),
    ],
)
def test_a_request_that_is_no_good_gets_one_clear_line(service, body, status, message):
    answer = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)


def test_a_body_without_a_length_is_refused_while_it_arrives(service):
    sent = []

    def body():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 50_000

    assert service.client.post("/v1/rerank", content=body()).status_code == 413


def test_too_many_at_once_are_sent_away_with_a_time_to_come_back(service):
    texts = [f"{text} {n}" for n in range(60) for text in TEXTS]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda n: service.rerank(texts[n:]), range(24)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(1 <= int(answer.headers["retry-after"]) <= 30 for answer in refused)
    assert service.rerank().status_code == 200


def test_halves_of_characters_and_other_odd_texts_are_ranked(service):
    body = b'{"query": "\\ud800 \\u0000", "documents": ["\\udfff", "", "\\u202e\\ufeff", "\\ud83d\\ude00"], "return_documents": true}'
    answer = service.client.post("/v1/rerank", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["results"]) == 4


def test_another_champion_takes_over_without_a_lost_request_and_rolls_back(service):
    versions, stop = [], time.monotonic() + 120

    def ask(_):
        seen = []
        while time.monotonic() < stop and not done:
            answer = service.rerank()
            assert answer.status_code == 200
            name = answer.headers["x-model-version"]
            assert [one["index"] for one in answer.json()["results"]] == orders[name]
            seen.append(name)
        return seen

    done, orders = [], {name: order(service.scores(name)) for name in "ab"}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, n) for n in range(4)]
        time.sleep(2)
        for name, change in (("b", lambda: service.registry.promote_again("b", "test")), ("a", lambda: service.registry.rollback("test"))):
            change()
            while service.rerank().headers["x-model-version"] != name and time.monotonic() < stop:
                time.sleep(0.2)
        done.append(True)
        for future in asking:
            versions += future.result()
    assert {"a", "b"} == set(versions)
    assert service.rerank().headers["x-model-version"] == "a"


def test_a_version_that_is_not_whole_is_not_served(service, tmp_path):
    broken = Folder(tmp_path / "broken")
    service.models["b"].copy_to(broken)
    service.registry.add(broken, "broken")
    champion = service.registry.promote_again("broken", "test")
    (service.registry.folder / "broken").write_text("rradistill.json", "{}")
    time.sleep(3)
    assert service.rerank().headers["x-model-version"] in ("a", "broken")  # broken only where it was loaded before it broke
    assert champion.champion == "broken"
    service.registry.rollback("test")
    shutil.rmtree((service.registry.folder / "broken").path)


def test_half_of_the_keys_see_the_challenger_and_what_they_saw_is_recorded(service):
    orders = {name: [str(i) for i in order(service.scores(name))] for name in "ab"}
    seen = {}
    for n in range(40):
        answers = [service.rerank(headers={"x-experiment-key": f"user-{n}"}, top_n=3) for _ in range(2)]
        assert answers[0].headers["x-arm"] == answers[1].headers["x-arm"]
        version = {"champion": "a", "challenger": "b"}[answers[0].headers["x-arm"]]
        assert answers[0].headers["x-model-version"] == version
        assert [str(one["index"]) for one in answers[0].json()["results"]] == orders[version][:3]
        seen[answers[0].headers["x-exposure-id"]] = version
    assert 8 < sum(version == "b" for version in seen.values()) < 32
    assert "x-arm" not in service.rerank().headers
    exposure = next(iter(seen))
    for _ in range(2):
        event = {"exposure_id": exposure, "kind": "click", "position": 2, "event_id": "e1"}
        assert service.client.post("/v1/feedback", json=event).json() == {"event_id": "e1"}
    assert service.client.post("/v1/feedback", json={"exposure_id": exposure, "kind": "glance", "position": 1}).status_code == 422
    deadline = time.monotonic() + 20
    place = service.storage / SERVING
    while time.monotonic() < deadline:
        events = list((place / FEEDBACK).read_rows(FeedbackEvent)) if (place / FEEDBACK).exists() else []
        rows = {row.exposure_id: row for row in (place / EXPOSURES).read_rows(Exposure)} if (place / EXPOSURES).exists() else {}
        if len(events) >= 2 and set(seen) <= set(rows):
            break
        time.sleep(0.5)
    assert [(event.event_id, event.position) for event in events] == [("e1", 2)] * 2
    for exposure_id, version in seen.items():
        row = rows[exposure_id]
        assert (row.version, row.shown, row.share, row.experiment) == (version, orders[version][:3], 0.5, "first")
    assert all(QUERY not in row.query and "user" not in row.key for row in rows.values())


def test_a_killed_replica_is_replaced_and_one_retry_is_enough(service):
    def ask(_):
        for _ in range(2):
            try:
                answer = service.rerank()
                if answer.status_code == 200:
                    return True
            except httpx.HTTPError:
                pass
        return False

    victims = [one for one in psutil.process_iter(["cmdline"]) if "ServeReplica:rradistill:Ingress" in " ".join(one.info["cmdline"] or [])]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, n) for n in range(40)]
        for victim in victims:
            victim.kill()
        assert victims
        assert all(future.result() for future in asking)


def test_metrics_tell_of_routes_and_versions(service, cluster):
    assert settled(cluster["METRICS"], 0, "ray_rradistill_serve_loaded_total", 'outcome="failed"') >= 0
    name = "ray_rradistill_serve_requests_total"
    before = total(cluster["METRICS"], name, 'route="/v2/rerank"', 'status="200"')
    for _ in range(3):
        service.client.post("/v2/rerank", json={"query": "q", "documents": TEXTS})
    assert settled(cluster["METRICS"], before + 3, name, 'route="/v2/rerank"', 'status="200"') == before + 3
    assert total(cluster["METRICS"], "ray_rradistill_serve_documents_total", 'version="a"', 'arm="champion"') > 100
    for name in ("queue_seconds_count", "score_seconds_count", "batch_fill_count", "request_seconds_count"):
        assert total(cluster["METRICS"], f"ray_rradistill_serve_{name}") > 0, name


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_the_page_in_a_browser(service, tmp_path):
    from playwright.sync_api import sync_playwright

    asked = service.client.get("/page/queries").json()["queries"]
    found = [service.client.get("/page/search", params={"query": query}).json() for query in asked]
    judged = next(one["query"] for one in found if any(document["grade"] for document in one["documents"]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, scheme in ((1200, "light"), (390, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            wrong = []
            page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
            page.goto(service.url)
            page.wait_for_selector("#key:not([hidden])")
            assert "a known key is needed" in page.inner_text("#told")
            page.fill("#key", "secret")
            page.keyboard.press("Tab")
            page.wait_for_selector("#picked:not([hidden])")
            page.select_option("#picked", judged)
            page.wait_for_selector("#after li")
            found = page.locator("#after li").count()
            assert page.locator("#before li").count() == found > 0
            assert page.locator("#after .grade:not(.zero)").first.inner_text() == "grade 1"
            page.locator("#after summary").first.focus()
            page.keyboard.press("Enter")
            assert page.locator("#after details[open]").count() == 1
            page.fill("#query", "melting sand <b>with</b> lime")
            page.keyboard.press("Enter")
            page.wait_for_function("document.querySelector('#after .body mark')")
            words = set(page.locator("#after mark").all_text_contents())
            assert "sand" in words
            assert "with" not in words
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("path").count() == page.locator("#after li").count()
            assert not wrong
            page.screenshot(path=tmp_path / f"page-{width}.png")
        browser.close()


FUZZ = """
import os, schemathesis
from hypothesis import HealthCheck, settings
schema = schemathesis.openapi.from_url(os.environ["SERVICE"] + "/openapi.json")

@schema.parametrize()
@settings(max_examples=int(os.environ["EXAMPLES"]), deadline=None, suppress_health_check=list(HealthCheck))
def test_fuzzed(case):
    answer = case.call(headers={"authorization": "Bearer secret"}, timeout=60)
    assert answer.status_code < 500, answer.text
"""


def test_fuzzed_requests_are_answered_or_refused(service, tmp_path):
    """FUZZ=2000 asks for more of each route than the usual run."""
    (tmp_path / "test_fuzz.py").write_text(FUZZ)
    environment = {**os.environ, "SERVICE": service.url, "EXAMPLES": os.environ.get("FUZZ", "30")}
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_fuzz.py")]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:]
    assert service.rerank().status_code == 200
