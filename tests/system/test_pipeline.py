"""The real parts together: Ray Data, vLLM, DeepSpeed, Ray Serve, on a collection of twelve facts."""

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from ranking.evaluation.results import Metrics
from ranking.evaluation.runs import read_trec
from ranking.records import Label
from ranking.registry import Registry
from ranking.stages import Manifest
from ranking.storage import Folder
from students.scoring import Scorer
from tests.system.conftest import FACTS, ROOT

pytestmark = pytest.mark.timeout(1200)


def test_every_stage_accounts_for_its_queries(finished):
    run = Folder(finished[0]) / "facts"
    for stage in ("queries", "index", "candidates", "labels", "students/rra-bert", "evaluation"):
        manifest = Manifest.model_validate_json((run / stage).read_text("_manifest.json"))
        assert manifest.rows_in == manifest.rows_out + manifest.rejected
        assert manifest.rows_out > 0
    labels = list((run / "labels").read_rows(Label))
    assert {label.provenance.targets for label in labels} == {"scores"}
    for label in labels:
        targets = [c.target for c in sorted(label.candidates, key=lambda c: c.position)]
        assert targets == sorted(targets, reverse=True)
        assert label.usage.prompt_tokens > 0


def test_evaluation_holds_every_system_and_its_run(finished):
    folder = finished[0] / "facts" / "evaluation"
    metrics = Metrics.model_validate_json((folder / "metrics.json").read_text())
    expected = {"bm25", "dense", "fused", "pre-ranker@bm25", "pre-ranker@fused", "rra-bert@bm25", "rra-bert@fused"}
    assert set(metrics.systems) == expected
    for key in expected:
        assert read_trec(folder / "runs" / f"{key}.trec")
    assert metrics.systems["pre-ranker@fused"].measures["nDCG@5"] > 0.5


def test_a_second_call_skips_every_stage_and_the_terminal_shows_it(finished, settings, cluster):
    again = subprocess.run(
        [sys.executable, "-m", "ray_jobs.pipeline", *settings[1]], cwd=ROOT, env=cluster, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged, skipped") == 6
    assert again.stderr == ""


def test_bad_input_is_one_line_and_exit_code_2(settings, cluster, finished):
    wrong = [*settings[1], "--teacher.modle", "x"]
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.pipeline", *wrong], cwd=ROOT, env=cluster, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "did you mean 'model'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_champion_is_served_with_the_scores_of_the_saved_model(finished, settings, cluster):
    storage = Folder(finished[0])
    model = storage / "facts" / "students" / "rra-bert" / "model"
    Registry(storage).promote(model, "rra-bert-test", "facts", "for this test")
    service = subprocess.Popen([sys.executable, "-m", "ray_jobs.serve", *settings[1]], cwd=ROOT, env={**cluster, "PYTHONUNBUFFERED": "1"})
    try:
        wait_for("http://127.0.0.1:8123/health", service)
        query, texts = "why does dough get bigger", [text for _, text in FACTS]
        scores = Scorer(model.path).score([(query, text) for text in texts])
        expected = sorted(range(len(texts)), key=lambda i: -scores[i])
        import cohere

        client = cohere.Client("none", base_url="http://127.0.0.1:8123")
        answer = client.rerank(model="rra-bert", query=query, documents=texts, top_n=3, return_documents=True)
        assert [result.index for result in answer.results] == expected[:3]
        assert answer.results[0].document.text == texts[expected[0]]
        assert 0 <= answer.results[0].relevance_score <= 1
        assert post({"query": query, "documents": []})["results"] == []
    finally:
        service.terminate()
        service.wait(timeout=60)


def wait_for(url, service):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert service.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert json.load(answer)["status"] == "ok"
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"{url} did not answer")


def post(body):
    request = urllib.request.Request("http://127.0.0.1:8123/v1/rerank", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
