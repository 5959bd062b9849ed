"""One local Ray cluster for all system tests, and one run of the pipeline on it, through the job API."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from ranking.stages import Manifest
from ranking.storage import Folder

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FACTS = [
    ("a1", "Copper conducts heat and electricity well and is drawn into wires."),
    ("a2", "Granite is a hard rock that cools slowly deep in the crust."),
    ("a3", "Bees carry pollen between flowers and make honey from nectar."),
    ("a4", "A glacier is a river of ice that grinds valleys as it moves."),
    ("a5", "Bread rises because yeast turns sugar into carbon dioxide."),
    ("a6", "The moon pulls the oceans and causes the tides."),
    ("a7", "Bamboo is a grass that can grow most of a metre in a day."),
    ("a8", "Vaccines teach the immune system to recognise a virus."),
    ("a9", "A compass needle points to the magnetic north pole."),
    ("b1", "Bats find insects at night by the echo of their calls."),
    ("b2", "Glass is made by melting sand with soda and lime."),
    ("b3", "Salt lowers the freezing point of water on winter roads."),
]
QUESTIONS = [
    ("q1", "which metal goes into cables", "a1"),
    ("q2", "stone formed under the ground", "a2"),
    ("q3", "who makes the sweet stuff from blossoms", "a3"),
    ("q4", "frozen mass carving mountains", "a4"),
    ("q5", "why does dough get bigger", "a5"),
    ("q6", "what makes the sea go up and down", "a6"),
    ("q7", "fastest growing plant", "a7"),
    ("q8", "how does a jab protect me", "a8"),
    ("q9", "instrument for finding direction", "a9"),
    ("q10", "flying mammals hunting in the dark", "b1"),
    ("q11", "what are windows made from", "b2"),
    ("q12", "why put salt on icy streets", "b3"),
]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Environment variables of a local head, which ends with the tests; another Ray of the user's is left alone."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    ray = str(BIN / "ray")
    start = [ray, "start", "--head", "--block", "--num-cpus=4", "--port=6390", "--dashboard-port=8275", "--disable-usage-stats"]
    logs = tmp_path_factory.mktemp("head") / "log"
    with logs.open("w") as stream:
        head = subprocess.Popen(start, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_for_dashboard("http://127.0.0.1:8275/api/version", head, logs)
        os.environ["RAY_AUTH_MODE"] = "disabled"
        yield {**environment, "RAY_ADDRESS": "127.0.0.1:6390"}
    finally:
        head.terminate()
        head.wait(timeout=60)


def wait_for_dashboard(url, head, logs):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert head.poll() is None, logs.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"{url} did not answer: {logs.read_text()}")


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """A small BEIR folder."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in FACTS))
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text, _ in QUESTIONS))
    (folder / "qrels.tsv").write_text("".join(f"{query}\t{answer}\t1\n" for query, _, answer in QUESTIONS))
    return folder


@pytest.fixture(scope="session")
def settings(collection, tmp_path_factory):
    """Arguments of every job: the quickstart's run file, smaller."""
    storage = tmp_path_factory.mktemp("storage")
    overrides = {
        "run": "facts",
        "storage": str(storage),
        "collection.source": f"beir:{collection}",
        "queries.long_tail.min_terms": "1",
        "candidates.depth": "8",
        "pre_ranker.top": "4",
        "pre_ranker.bottom": "4",
        "training.lists_per_step": "2",
        "compute.cpu_actors": "1",
        "evaluation.measures": '["nDCG@5", "RR@5"]',
        "serving.port": "8123",
    }
    return storage, ["configs/quickstart.yaml", *(part for key, value in overrides.items() for part in (f"--{key}", value))]


@pytest.fixture(scope="session")
def finished(cluster, settings):
    """The pipeline, submitted as a job; returns its storage and what it printed."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    storage, arguments = settings
    client = JobSubmissionClient("http://127.0.0.1:8275")
    quoted = " ".join(f"'{argument}'" for argument in arguments)
    runtime_env = {**yaml.safe_load((ROOT / "runtime_env" / "cpu.yaml").read_text()), "working_dir": str(ROOT)}
    job = client.submit_job(entrypoint=f"{sys.executable} -m ray_jobs.pipeline {quoted}", runtime_env=runtime_env)
    deadline = time.monotonic() + 840
    while client.get_job_status(job) not in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}:
        assert time.monotonic() < deadline, client.get_job_logs(job)[-3000:]
        time.sleep(2)
    logs = client.get_job_logs(job)
    trace = storage / "facts" / "logs" / "trace.txt"
    assert client.get_job_status(job) == JobStatus.SUCCEEDED, logs[-3000:] + (trace.read_text() if trace.exists() else "")
    return storage, logs


def label_facts(run, teacher, finished, settings, cluster):
    """Label the facts with a teacher, in a run of its own that has the first stages already."""
    folder = Folder(finished[0]) / run
    if not folder.exists():
        (Folder(finished[0]) / "facts").copy_to(folder)
    arguments = [*settings[1], "--run", run, "--teacher", json.dumps(teacher)]
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.label", *arguments], cwd=ROOT, env=cluster, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr + (folder.read_text("logs/trace.txt") if folder.exists("logs/trace.txt") else "")
    manifest = Manifest.model_validate_json((folder / "labels").read_text("_manifest.json"))
    assert manifest.rows_in == manifest.rows_out + manifest.rejected
    return folder, manifest
