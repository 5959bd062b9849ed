"""Training on preempted nodes saves a checkpoint at the preemption notice and continues with fewer workers."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.testing.facts import BIN, ROOT
from tests.testing.programs import run_program
from tests.testing.training_runs import BERT, copy_labels, distinct_scores, training_command
from tools.local_cluster.nodes import LocalCluster
from tools.local_cluster.processes import find_processes, wait_until

GROWS = bool(os.environ.get("GROWS"))
"""Whether a replacement node joins the cluster. Off by default, because Ray checks for new nodes only once a minute.

Run `GROWS=1 pytest tests/system/long/test_lost_nodes.py` to include it.
"""
NODES = "import json, ray; ray.init(logging_level='ERROR'); print('NODES', json.dumps(ray.nodes()))"


def node_id_of(cluster, address):
    """Return the id of the node with an address."""
    done = subprocess.run(
        [sys.executable, "-c", NODES], env=cluster.driver_environment, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("NODES")]
    (node,) = [node for node in json.loads(line.removeprefix("NODES ")) if node["NodeManagerAddress"] == address]
    return node["NodeID"]


def count_training_workers(cluster):
    """Return the number of training workers."""
    return len(find_processes(cluster.mark, "TrainWorker"))


RELEASE = """
import sys, ray
from actors.compat import ray_train_reservations
from ranking.storage.folder import Folder
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator

ray.init(logging_level="ERROR")
coordinator, folder = get_or_create_autoscaling_coordinator(), Folder(sys.argv[1])

def reserved_cpus():
    nodes = ray.get(coordinator.get_reserved_resources.remote("train-dead"))
    return sum(node.get("CPU", 0) for node in nodes.values())

ray_train_reservations.release(folder)  # nothing is reserved yet
ray.get(coordinator.request_resources.remote(requester_id="train-dead", resources=[{"CPU": 1}], expire_after_s=180))
before = reserved_cpus()
folder.write_text(ray_train_reservations.NAME, "train-dead")
ray_train_reservations.release(folder)
print("RESERVED", before, reserved_cpus())
"""


def test_reservation_of_a_dead_training_is_released(cluster, tmp_path):
    command = [sys.executable, "-c", RELEASE, str(tmp_path)]
    done = run_program(command, cluster, 200)
    assert "RESERVED 1 0\n" in done.stdout, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_training_continues_on_the_other_nodes_after_preemption(labelled, collection, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    settings = {
        "workers": 2,
        "min_workers": 1,
        "epochs": 2000 if GROWS else 15,
        "validation_fraction": 0,
        "checkpoint_every": 10_000,
    }
    student = {**BERT, "term_control": {"form": "none"}}
    command = training_command(folder, collection, student, precision="fp32", **settings)
    checkpoints, output = folder / "students" / "bert" / "checkpoints", tmp_path / "output.txt"
    with LocalCluster(tmp_path, workers=2, cpus=1) as cluster, output.open("w") as stream:
        preempted = cluster.addresses[1]
        node = node_id_of(cluster, preempted)
        # by default, if only one of two workers fits, Ray waits a minute for the other before it checks resources again
        environment = {**cluster.driver_environment, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "5"}
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        assert wait_until(lambda: "loss" in output.read_text() or job.poll() is not None, 200), output.read_text()
        assert not checkpoints.exists("checkpoint_manager_snapshot.json")
        drain = [
            "--reason",
            "DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message",
            "spot",
            "--deadline-remaining-seconds",
            "120",
        ]
        notice = [str(BIN / "ray"), "drain-node", "--address", cluster.address, "--node-id", node, *drain]
        subprocess.run(notice, env=cluster.driver_environment, capture_output=True, check=True)
        assert wait_until(
            lambda: checkpoints.exists("checkpoint_manager_snapshot.json") or job.poll() is not None, 60
        ), output.read_text()
        assert job.poll() is None, output.read_text()
        cluster.kill_worker(preempted)
        if GROWS:
            assert wait_until(lambda: count_training_workers(cluster) == 1, 100), output.read_text()
            cluster.start_worker(preempted)
            assert wait_until(lambda: count_training_workers(cluster) == 2, 200), output.read_text()
            lines = output.read_text().count("loss")
            assert wait_until(lambda: output.read_text().count("loss") > lines + 2, 100), output.read_text()
            job.send_signal(signal.SIGINT)
            assert job.wait(timeout=100) == 130, output.read_text()
            return
        assert job.wait(timeout=300) == 0, output.read_text()
    assert "resumed after step" in output.read_text()
    assert len(distinct_scores(folder, "bert")) > 1
