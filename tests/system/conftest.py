"""One local Ray cluster for all system tests, and one run of the pipeline on it, through the job API."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
import yaml

from ranking.model_paths import FOLDER_VARIABLE
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.facts import BIN, FACTS, QUESTIONS, ROOT
from tests.testing.programs import ran
from tests.testing.prometheus import watching
from tools.ports import free_ports
from tools.s3_server import running_s3


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Environment variables of a local head, which ends with the tests; another Ray of the user's is left alone."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_metrics_report_interval_ms"] = "500"  # a test's actors live for seconds
    # a submitted working directory is forgotten ten minutes after its upload, though a later job names it again
    environment["RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S"] = "7200"
    environment.pop("RAY_ADDRESS", None)
    ray = str(BIN / "ray")
    names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port", "metrics-export-port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    listening = [f"--{name}={port}" for name, port in ports.items()]
    start = [ray, "start", "--head", "--block", "--num-cpus=4", *listening, "--disable-usage-stats"]
    dashboard = f"http://127.0.0.1:{ports['dashboard-port']}"
    logs = tmp_path_factory.mktemp("head") / "log"
    with logs.open("w") as stream:
        head = subprocess.Popen(start, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_for_dashboard(f"{dashboard}/api/version", head, logs)
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
        for process in [
            *psutil.Process(head.pid).children(recursive=True),
            head,
        ]:  # to end by itself takes it half a minute
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()


@pytest.fixture(scope="session", autouse=True)
def ray_that_looks_often():
    """Ray looks more often whether a training's workers are done or gone, a node is about to go, or is gone already."""
    often = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
        "RAY_health_check_period_ms": "1000",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in often.items():
            patch.setenv(name, value)
        yield


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


@pytest.fixture(scope="session", autouse=True)
def engines_in_two_processes():
    """On a processor vLLM puts a third process below its engine's unless it is told so; each takes its time to import all it needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """AWS_* variables of a user of an S3 server that ends with the tests."""
    with running_s3(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """A small BEIR folder."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in FACTS))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text, _ in QUESTIONS)
    )
    (folder / "qrels.tsv").write_text("".join(f"{query}\t{answer}\t1\n" for query, _, answer in QUESTIONS))
    return folder


STUDENT = {
    "name": "rra-bert",
    "kind": "rra_bert",
    "base": "minilm-cross",
    "max_length": 96,
    "blend": {"form": "ranks", "weight": 0.6},
}


@pytest.fixture(scope="session")
def settings(collection, tmp_path_factory):
    """Arguments of every job: the run file for one's own collection, smaller."""
    storage = tmp_path_factory.mktemp("storage")
    return storage, arguments_of({"run": "facts", "storage": str(storage), "collection.source": f"beir:{collection}"})


def arguments_of(changed):
    """The run file for one's own collection, smaller, with some settings changed."""
    overrides = {
        "queries.long_tail.min_terms": "1",
        "candidates.depth": "8",
        "pre_ranker.top": "4",
        "pre_ranker.bottom": "4",
        "training.queries_per_step": "2",
        "training.validation_fraction": "0.2",
        "compute.cpu_actors": "1",
        "compute.engine_hour_price": "3",
        "compute.stall_warning_seconds": "60",  # where something hangs, what it waits for is in the output
        "students": json.dumps([STUDENT]),
        "evaluation.measures": '["nDCG@5", "RR@5"]',
        "evaluation.first_stages": '["bm25", "fused"]',
        "serving.port": "8123",
        **changed,
    }
    return ["configs/collection.yaml", *(part for key, value in overrides.items() for part in (f"--{key}", value))]


class Submitted:
    """A job as `ray job submit --runtime-env` sends it to the cluster. variables: of the environment, beside those of cpu.yaml."""

    def __init__(self, cluster, module, arguments, variables=None):
        from ray.job_submission import JobSubmissionClient

        quoted = " ".join(f"'{argument}'" for argument in arguments)
        runtime_env = {**yaml.safe_load((ROOT / "runtime_env" / "cpu.yaml").read_text()), "working_dir": str(ROOT)}
        runtime_env["env_vars"] |= {FOLDER_VARIABLE: str(ROOT / "models"), **(variables or {})}  # the image's has it
        self.client = JobSubmissionClient(cluster["RAY_API_SERVER_ADDRESS"])
        self.job = self.client.submit_job(entrypoint=f"{sys.executable} -m {module} {quoted}", runtime_env=runtime_env)

    @property
    def status(self):
        return str(self.client.get_job_status(self.job).value)

    @property
    def logs(self):
        return self.client.get_job_logs(self.job)

    def stop(self):
        """Kill the job where it stands."""
        self.client.stop_job(self.job)
        self.ended()

    def ended(self):
        """Wait for the end; returns how it ended and what it printed."""
        deadline = time.monotonic() + 840
        while (status := self.status) not in ("SUCCEEDED", "FAILED", "STOPPED"):
            assert time.monotonic() < deadline, self.logs[-3000:]
            time.sleep(1)
        return status, self.logs


@pytest.fixture(scope="session")
def finished(cluster, settings):
    """The pipeline, submitted as a job; returns its storage and what it printed."""
    storage, arguments = settings
    status, logs = Submitted(cluster, "ray_jobs.pipeline", arguments).ended()
    trace = storage / "facts" / "logs" / "trace.txt"
    assert status == "SUCCEEDED", logs[-3000:] + (trace.read_text() if trace.exists() else "")
    return storage, logs


def run_with_labels(run, finished):
    """The folder of a run of its own that has what the facts have up to their labels."""
    facts, folder = Folder(finished[0]) / "facts", Folder(finished[0]) / run
    if not folder.exists():
        for name in ("queries", "index", "vectors", "candidates", "labels", "rejected"):
            if (facts / name).exists():
                (facts / name).copy_to(folder / name)
    return folder


def label_facts(run, teacher, finished, settings, cluster, timeout=400):
    """Label the facts with a teacher, in a run of its own that has the first stages already."""
    folder = run_with_labels(run, finished)
    arguments = [*settings[1], "--run", run, "--teacher", json.dumps(teacher)]
    done = ran([sys.executable, "-m", "ray_jobs.label", *arguments], cluster, timeout)
    assert done.returncode == 0, done.stderr + (
        folder.read_text("logs/trace.txt") if folder.exists("logs/trace.txt") else ""
    )
    manifest = Manifest.model_validate_json((folder / "labels").read_text("_manifest.json"))
    assert manifest.rows_in == manifest.rows_out + manifest.rejected
    return folder, manifest
