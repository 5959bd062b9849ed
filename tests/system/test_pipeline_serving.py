"""The champion of a pipeline run, served over HTTP, ranks as in the evaluation."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ranking.evaluation.trec_runs import read_trec
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.scoring import Scorer
from tests.testing.facts import FACTS, QUESTIONS, ROOT

pytestmark = pytest.mark.timeout(1200)


def test_served_champion_ranks_as_in_the_evaluation(finished, settings, cluster):
    storage = Folder(finished[0])
    model = storage / "facts" / "students" / "rra-bert" / "model"
    Registry(storage).promote(model, "rra-bert-test", "facts", "for this test")
    service = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs.serve", *settings[1]], cwd=ROOT, env={**cluster, "PYTHONUNBUFFERED": "1"}
    )
    try:
        wait_for("http://127.0.0.1:8123/health", service)
        query, texts = "why does dough get bigger", [text for _, text in FACTS]
        scores = Scorer(model.path).score([(query, text) for text in texts])
        expected = sorted(range(len(texts)), key=lambda i: -scores[i])
        import cohere

        client = cohere.Client("none", base_url="http://127.0.0.1:8123")
        response = client.rerank(model="rra-bert", query=query, documents=texts, top_n=3, return_documents=True)
        assert [result.index for result in response.results] == expected[:3]
        assert response.results[0].document.text == texts[expected[0]]
        assert 0 <= response.results[0].relevance_score <= 1
        assert post({"query": query, "documents": []})["results"] == []
        runs, texts_of = storage / "facts" / "evaluation" / "runs", dict(FACTS)
        names = ("bm25", "rra-bert@bm25", "rra-bert.blended@bm25")
        bm25, reranked, blended = (read_trec(Path(runs.path) / f"{name}.trec") for name in names)
        assert reranked.keys() <= bm25.keys()
        for query_id, text, _ in QUESTIONS:
            if query_id in reranked:
                candidates = best_first(bm25[query_id])
                documents = [texts_of[doc_id] for doc_id in candidates]
                student_only = post({"query": text, "documents": documents})
                assert doc_ids(student_only, candidates) == best_first(reranked[query_id])
                assert "blend" not in student_only["meta"]
                with_blend = post({"query": text, "documents": documents, "first_stage": "order"})
                assert doc_ids(with_blend, candidates) == best_first(blended[query_id])
                assert with_blend["meta"]["blend"] == "ranks, w = 0.6"
                scored = [
                    {"text": t, "score": bm25[query_id][doc_id]}
                    for doc_id, t in zip(candidates, documents, strict=True)
                ]
                assert post({"query": text, "documents": scored})["results"] == with_blend["results"]
    finally:
        service.terminate()
        service.wait(timeout=60)


def doc_ids(response, candidates):
    """Return the document ids of the reranked candidates."""
    return [candidates[result["index"]] for result in response["results"]]


def best_first(scores):
    """Return document ids by descending score."""
    return sorted(scores, key=lambda doc_id: -scores[doc_id])


def wait_for(url, service):
    """Wait until the service reports that it is healthy."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert service.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                assert json.load(response)["status"] == "ok"
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"{url} did not respond within 240 s")


def post(body):
    """Send a rerank request and return the parsed response."""
    request = urllib.request.Request(
        "http://127.0.0.1:8123/v1/rerank", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)
