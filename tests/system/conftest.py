"""Fixtures of the system tests: a local Ray cluster, an S3 server, a collection and a run of the pipeline."""

import contextlib
import json
import os
import subprocess
import time
import urllib.request

import psutil
import pytest

from ranking.storage.folder import Folder
from tests.testing.facts import BIN, FACTS, QUESTIONS
from tests.testing.prometheus import watching
from tests.testing.submitted_jobs import SubmittedJob, job_arguments
from tests.testing.training_runs import fact_label
from tools.ports import free_ports
from tools.s3_server import running_s3


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Start a local Ray head node for all tests, and yield its environment variables. Ignores other Ray clusters."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_metrics_report_interval_ms"] = "500"  # the actors of a test live only for seconds
    # by default, Ray deletes an uploaded working directory after ten minutes, but later jobs need it again
    environment["RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S"] = "7200"
    environment.pop("RAY_ADDRESS", None)
    ray = str(BIN / "ray")
    names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port", "metrics-export-port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    port_options = [f"--{name}={port}" for name, port in ports.items()]
    start = [ray, "start", "--head", "--block", "--num-cpus=4", *port_options, "--disable-usage-stats"]
    dashboard = f"http://127.0.0.1:{ports['dashboard-port']}"
    logs = tmp_path_factory.mktemp("head") / "log"
    with logs.open("w") as stream:
        head = subprocess.Popen(start, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        _wait_for_dashboard(f"{dashboard}/api/version", head, logs)
        for name in ("RAY_AUTH_MODE", "RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S"):
            os.environ[name] = environment[name]
        with watching(f"127.0.0.1:{ports['metrics-export-port']}", tmp_path_factory.mktemp("prometheus")) as prometheus:
            yield {
                **environment,
                "RAY_ADDRESS": f"127.0.0.1:{ports['port']}",
                "RAY_API_SERVER_ADDRESS": dashboard,
                "METRICS": f"http://127.0.0.1:{ports['metrics-export-port']}/metrics",
                "PROMETHEUS": prometheus,
                "BEGAN": str(time.time()),
            }
    finally:
        # kill the processes, because an orderly shutdown takes half a minute
        for process in [*psutil.Process(head.pid).children(recursive=True), head]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()


@pytest.fixture(scope="session", autouse=True)
def frequent_health_checks():
    """Make Ray check training workers, preemption notices and nodes more often."""
    intervals = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
        "RAY_health_check_period_ms": "1000",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in intervals.items():
            patch.setenv(name, value)
        yield


def _wait_for_dashboard(url, head, logs):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert head.poll() is None, logs.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"{url} did not respond; log of the head node: {logs.read_text()}")


@pytest.fixture(scope="session", autouse=True)
def engines_in_two_processes():
    """Stop vLLM from starting a third process per engine on CPUs, to save the time of its imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """Start an S3 server for all tests, and yield the AWS_* variables of one of its users."""
    with running_s3(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """Write a BEIR folder with the twelve facts and their questions."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in FACTS))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text, _ in QUESTIONS)
    )
    (folder / "qrels.tsv").write_text("".join(f"{query}\t{answer}\t1\n" for query, _, answer in QUESTIONS))
    return folder


@pytest.fixture(scope="session")
def settings(collection, tmp_path_factory):
    """Return the storage folder and the job arguments of the run `facts`."""
    storage = tmp_path_factory.mktemp("storage")
    return storage, job_arguments({"run": "facts", "storage": str(storage), "collection.source": f"beir:{collection}"})


@pytest.fixture(scope="session")
def finished(cluster, settings):
    """Run the pipeline over the facts as a submitted job, and return the storage folder and the job's output."""
    storage, arguments = settings
    status, logs = SubmittedJob(cluster, "ray_jobs.pipeline", arguments).wait()
    trace = storage / "facts" / "logs" / "trace.txt"
    assert status == "SUCCEEDED", logs[-3000:] + (trace.read_text() if trace.exists() else "")
    return storage, logs


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return a storage folder with a run that contains 24 labels and nothing else."""
    storage = tmp_path_factory.mktemp("labelled")
    labels = [fact_label(number) for number in range(24)]
    for part in range(3):
        (Folder(storage) / "made" / "labels").write_rows(f"part-{part}.parquet", labels[part * 8 : part * 8 + 8])
    return storage
