"""The pipeline on a cluster with Ray's real autoscaler. The cluster starts with only a head node."""

import json
import subprocess
import sys

import pytest

from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.autoscaling import growing_cluster
from tests.testing.programs import run_program
from tests.testing.submitted_jobs import job_arguments
from tools.local_cluster.processes import wait_until
from tools.tiny_models import tiny_student

TYPES = {
    "cpu": {"resources": {"CPU": 4}, "max_workers": 2, "priority": 2},
    "student": {"resources": {"CPU": 2, "student": 2}, "max_workers": 1},
    "teacher": {"resources": {"CPU": 2, "teacher": 1}, "max_workers": 1},
}
NODES = (
    "import json, ray; ray.init(logging_level='ERROR', log_to_driver=False); print('NODES', json.dumps(ray.nodes()))"
)


def count_workers(environment):
    """Return the number of worker nodes that are alive."""
    quiet = {**environment, "RAY_SCHEDULER_EVENTS": "0"}
    done = subprocess.run([sys.executable, "-c", NODES], env=quiet, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("NODES")]
    return sum(node["Alive"] and "CPU" in node["Resources"] for node in json.loads(line.removeprefix("NODES ")))


def run_job(environment, module, arguments, timeout=600):
    """Run a job to its end. Keeps Ray's scheduler events out of the output."""
    command = [sys.executable, "-m", module, *arguments]
    return run_program(command, {**environment, "RAY_SCHEDULER_EVENTS": "0"}, timeout)


@pytest.mark.timeout(900)
def test_cluster_grows_for_the_pipeline_and_idle_nodes_stop(collection, tmp_path):
    pools = {"compute.teacher_pool": "teacher", "compute.student_pool": "student"}
    with growing_cluster(tmp_path, TYPES) as environment:
        pools["compute.cluster_file"] = environment["CLUSTER_FILE"]
        settings = {
            "run": "grown",
            "storage": str(tmp_path / "runs"),
            "collection.source": f"beir:{collection}",
            **pools,
        }
        settings["students"] = tiny_student(tmp_path / "base")
        assert count_workers(environment) == 0

        wrong = run_job(environment, "ray_jobs.pipeline", job_arguments({**settings, "compute.teacher_gpus": "4"}))
        assert wrong.returncode == 2, wrong.stdout + wrong.stderr
        assert wrong.stderr == (
            "error: the teacher needs 1 x (1 CPU, 4 GPU, 4 teacher), "
            "but the cluster can scale up to 0 (no node has more than 0 GPU); "
            "see compute.teacher_cpus, teacher_gpus, teacher_pool\n"
        )
        assert count_workers(environment) == 0

        done = run_job(environment, "ray_jobs.pipeline", job_arguments(settings))
        trace = tmp_path / "runs" / "grown" / "logs" / "trace.txt"
        assert done.returncode == 0, done.stdout + done.stderr + (trace.read_text() if trace.exists() else "")
        run = Folder(tmp_path / "runs") / "grown"
        assert count_workers(environment) > 0
        for stage in ("labels", "students/rra-bert", "evaluation"):
            manifest = Manifest.model_validate_json((run / stage).read_text("_manifest.json"))
            assert manifest.rows_out > 0
        assert wait_until(lambda: count_workers(environment) == 0, 120)
