"""Hosted teachers and rationale writers as jobs, against vLLM's own OpenAI server and against a scripted one."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

from ranking.labels.listwise_answers import longest_answer
from ranking.model_paths import model_path
from ranking.records import Label, RationaleList, Rejection
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.batch_service import failure, put_results, requests_in, result
from tests.testing.facts import FACTS, QUESTIONS, ROOT
from tests.testing.programs import run_program
from tools.chat_server import Reply, chat_server, completion, error, forward
from tools.list_runs import write_list_run, write_run_of
from tools.ports import free_ports

pytestmark = pytest.mark.timeout(800)
ENGINE = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16}
TEACHER = {"kind": "listwise", "model": "minilm-list", "structured": False, "max_attempts": 1}


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory):
    """Run vLLM's OpenAI server with minilm-list, and yield its base URL."""
    (port,) = free_ports(1)
    options = ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "16", "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_path("minilm-list"))]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [*command, "--served-model-name", "minilm-list", "--port", str(port), *options],
            env=environment | {"VLLM_NO_USAGE_STATS": "1"},
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


def wait_for(url, server, log):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])


def run_job(module, run_file, cluster, *arguments):
    """Run a job and return its exit code and its output."""
    done = run_program([sys.executable, "-m", f"ray_jobs.{module}", str(run_file), *arguments], cluster, 400)
    return done.returncode, done.stdout + done.stderr


def manifest_of(folder, stage):
    return Manifest.model_validate_json((folder / stage).read_text("_manifest.json"))


def orders_of(folder):
    """Return {query id: ids of the documents in the teacher's order}."""
    return {
        label.query_id: [c.doc_id for c in sorted(label.candidates, key=lambda c: c.position or 99) if c.position]
        for label in (folder / "labels").read_rows(Label)
    }


def fact_lists():
    """Make lists of all facts for each question, in different orders."""
    documents = [{"doc_id": doc_id, "text": text} for doc_id, text in FACTS]
    return [
        {"query_id": query_id, "text": text, "candidates": documents[n:] + documents[:n]}
        for n, (query_id, text, _) in enumerate(QUESTIONS)
    ]


def test_labels_equal_those_of_vllm_despite_faults(vllm_server, cluster, tmp_path):
    faults = {
        0: error(429, "slow down", Retry_After="1"),
        2: error(500, "oops"),
        3: Reply(completion("[1] > [2]"), cut=True),
        5: Reply('{"choices": [{"message": {"con'),
        7: Reply(completion("[2] > [1]"), delay=4.0),
        9: error(503, "busy", Retry_After="0.5"),
    }
    upstream = forward(vllm_server)
    rows = fact_lists()
    run_file = write_run_of(tmp_path, rows, {**TEACHER, "engine": ENGINE})
    code, output = run_job("label", run_file, cluster, "--run", "vllm")
    assert code == 0, output
    with chat_server(lambda body, number: faults.get(number) or upstream(body, number)) as proxy:
        hosted = {"url": proxy.url, "api_key_env": None, "structured": "none", "tokenizer": "minilm-list"}
        hosted |= {"context": 1536, "timeout_seconds": 3.0, "workers": 2, "input_price": 10.0, "output_price": 20.0}
        teacher = json.dumps({**TEACHER, "backend": "openai", "hosted": hosted})
        code, output = run_job("label", run_file, cluster, "--run", "hosted", "--teacher", teacher)
        assert code == 0, output
    storage = Folder(tmp_path / "runs")
    assert orders_of(storage / "hosted") == orders_of(storage / "vllm")
    assert len(orders_of(storage / "hosted")) == len(rows)
    assert "6 failed attempts repeated" in output
    assert len(proxy.received) == len(rows) + len(faults)
    manifest = manifest_of(storage / "hosted", "labels")
    assert manifest.tokens == manifest_of(storage / "vllm", "labels").tokens
    price = (manifest.tokens.prompt * 10 + manifest.tokens.completion * 20) / 1e6
    assert (manifest.spend, manifest.engines) == (pytest.approx(price), None)
    assert f"spent {price:,.2f}" in output


def test_too_long_prompts_of_vllm_reject_their_lists(vllm_server, cluster, tmp_path):
    rows = fact_lists()[:3]
    rows[1]["text"] = "word " * 3000
    hosted = {"url": vllm_server, "api_key_env": None, "structured": "none"}
    run_file = write_run_of(tmp_path, rows, {**TEACHER, "backend": "openai", "hosted": hosted})
    code, output = run_job("label", run_file, cluster)
    assert code == 0, output
    folder = Folder(tmp_path / "runs" / "lists")
    assert len(orders_of(folder)) == 2
    (rejection,) = (folder / "rejected").read_rows(Rejection)
    assert "the server refuses the prompt as too long (HTTP 400: " in rejection.reason
    code, output = run_job("label", run_file, cluster, "--run", "other", "--teacher.model", "another")
    assert (code, len(output.strip().splitlines()[-1:])) == (2, 1)
    assert "the server does not have the model 'another'" in output.strip().splitlines()[-1]


def reversed_order(body, _=0):
    """Rank the documents of a prompt in reverse; the cost of an answer is 0.01 at the prices below."""
    documents = body["messages"][-1]["content"].count("<<< [")
    chain = " > ".join(reversed(longest_answer(documents).split(" > ")))
    return Reply(completion(chain if documents else "It helps.", prompt=500, written=20))


PRICES = {"api_key_env": None, "structured": "none", "input_price": 8.0, "output_price": 300.0}


def test_spend_cap_ends_the_job_in_one_line_and_a_higher_one_continues(cluster, tmp_path):
    with chat_server(reversed_order) as server:
        hosted = {"url": server.url, "workers": 2, "spend_cap": 0.155, **PRICES}
        teacher = {"kind": "listwise", "backend": "openai", "model": "m", "hosted": hosted}
        run_file = write_list_run(tmp_path, 40, teacher)
        code, output = run_job("label", run_file, cluster)
        assert code == 2
        assert output.strip().splitlines()[-1] == (
            "error: setting 'teacher.hosted.spend_cap': spent 0.1600 of 0.1550; 24 lists remain, and all answers so "
            "far are kept; raise the cap and run the job again to continue"
        )
        assert len(server.received) == 16
        code, output = run_job("label", run_file, cluster, "--teacher.hosted.spend_cap", "5")
        assert code == 0, output
        assert len(server.received) == 40
        server.decide = lambda *_: error(500, "oops")
        more = ["--run", "failing", "--teacher.hosted.spend_cap", "null", "--teacher.hosted.max_retries", "1"]
        code, output = run_job("label", run_file, cluster, *more)
        last = output.strip().splitlines()[-1]
        assert code == 2
        assert "failed 2 times in a row, last: HTTP 500: oops; 40 lists remain" in last
        assert "to resume: python -m ray_jobs.label" in last
    manifest = manifest_of(Folder(tmp_path / "runs" / "lists"), "labels")
    assert (manifest.rows_out, manifest.spend) == (40, pytest.approx(0.4))


def test_batch_waits_for_results_and_later_stages_do_not_run(cluster, tmp_path):
    with chat_server(reversed_order) as server:
        teacher = {"kind": "listwise", "backend": "batch", "model": "m", "hosted": {"batch_requests": 25, **PRICES}}
        writer = {"kind": "llm", "backend": "openai", "model": "w", "hosted": {"url": server.url, **PRICES}}
        run_file = write_list_run(tmp_path, 40, teacher, rationales={**writer, "rationales_per_list": 2})
        code, output = run_job("rationales", run_file, cluster)
        last = output.strip().splitlines()[-1]
        assert code == 3, output
        assert last.startswith("waiting: 40 requests wait for results, 40 lists remain; submit part-00001.jsonl, part-")
        folder = Folder(tmp_path / "runs" / "lists")
        cache = folder / "teacher" / (folder / "teacher").names()[0]
        asked = [request for part in (1, 2) for request in requests_in(cache.uri, f"part-{part:05}.jsonl")]
        assert (len(asked), (folder / "rationales").exists(), server.received) == (40, False, [])
        lines = [result(request, reversed_order(request["body"]).body) for request in asked]
        put_results(cache.uri, "1.jsonl", lines[:20][::-1])
        put_results(cache.uri, "2.jsonl", [*lines[22:], failure(asked[20])])
        code, output = run_job("rationales", run_file, cluster)
        assert code == 3, output
        assert "waiting: 2 requests wait for results, 2 lists remain" in output
        again = requests_in(cache.uri, "part-00003.jsonl")
        put_results(cache.uri, "3.jsonl", [result(request, reversed_order(request["body"]).body) for request in again])
        code, output = run_job("rationales", run_file, cluster)
        assert code == 0, output
        assert len(server.received) == 80
    labels = list((folder / "labels").read_rows(Label))
    assert (len(labels), {label.provenance.engine for label in labels}) == (40, {"batch"})
    explained = list((folder / "rationales").read_rows(RationaleList))
    assert {rationale.text for row in explained for rationale in row.rationales} == {"It helps."}
    assert manifest_of(folder, "labels").spend == pytest.approx(0.4)
    assert manifest_of(folder, "rationales").spend == pytest.approx(0.8)
