"""A cluster that starts with its head alone, under Ray's real autoscaler: the pipeline makes it grow, and idle nodes go away."""

import json
import subprocess
import sys

import pytest

from benchmarks.faults.processes import wait_until
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.system.conftest import arguments_of
from tests.testing.autoscaling import growing_cluster
from tests.testing.programs import ran
from tools.tiny_models import tiny_student

TYPES = {
    "cpu": {"resources": {"CPU": 4}, "max_workers": 2, "priority": 2},
    "student": {"resources": {"CPU": 2, "student": 2}, "max_workers": 1},
    "teacher": {"resources": {"CPU": 2, "teacher": 1}, "max_workers": 1},
}
NODES = (
    "import json, ray; ray.init(logging_level='ERROR', log_to_driver=False); print('NODES', json.dumps(ray.nodes()))"
)


def nodes(environment):
    """How many nodes are alive, the head left out."""
    quiet = {**environment, "RAY_SCHEDULER_EVENTS": "0"}
    done = subprocess.run([sys.executable, "-c", NODES], env=quiet, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("NODES")]
    return sum(node["Alive"] and "CPU" in node["Resources"] for node in json.loads(line.removeprefix("NODES ")))


def job(environment, module, arguments, timeout=600):
    call = [sys.executable, "-m", module, *arguments]
    return ran(call, {**environment, "RAY_SCHEDULER_EVENTS": "0"}, timeout)


@pytest.mark.timeout(900)
def test_the_pipeline_makes_the_cluster_grow_and_idle_nodes_go_away(collection, tmp_path):
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
        assert nodes(environment) == 0

        wrong = job(environment, "ray_jobs.pipeline", arguments_of({**settings, "compute.teacher_gpus": "4"}))
        assert wrong.returncode == 2, wrong.stdout + wrong.stderr
        assert wrong.stderr == (
            "error: the teacher wants 1 x (1 CPU, 4 GPU, 4 teacher) and the cluster can grow to 0 (no node has more than 0 GPU); "
            "see compute.teacher_cpus, teacher_gpus, teacher_pool\n"
        )
        assert nodes(environment) == 0

        done = job(environment, "ray_jobs.pipeline", arguments_of(settings))
        trace = tmp_path / "runs" / "grown" / "logs" / "trace.txt"
        assert done.returncode == 0, done.stdout + done.stderr + (trace.read_text() if trace.exists() else "")
        run = Folder(tmp_path / "runs") / "grown"
        assert nodes(environment) > 0
        for stage in ("labels", "students/rra-bert", "evaluation"):
            manifest = Manifest.model_validate_json((run / stage).read_text("_manifest.json"))
            assert manifest.rows_out > 0
        assert wait_until(lambda: nodes(environment) == 0, 120)
