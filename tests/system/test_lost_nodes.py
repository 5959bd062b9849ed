"""Training on nodes that are taken away: saved at the notice, gone on with fewer workers from there."""

import json
import os
import signal
import subprocess
import sys

import pytest

from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.processes import called, wait_until
from tests.system.test_training import BERT, command, copied, labelled, scores_of  # noqa: F401
from tests.testing.facts import BIN, ROOT
from tests.testing.programs import ran

GROWS = bool(os.environ.get("GROWS"))
"""Whether a node comes instead of the one that goes; Ray looks for it once a minute: `GROWS=1 pytest tests/system/test_lost_nodes.py`."""
NODES = "import json, ray; ray.init(logging_level='ERROR'); print('NODES', json.dumps(ray.nodes()))"


def node_of(cluster, address):
    done = subprocess.run(
        [sys.executable, "-c", NODES], env=cluster.driver_environment, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("NODES")]
    (node,) = [node for node in json.loads(line.removeprefix("NODES ")) if node["NodeManagerAddress"] == address]
    return node["NodeID"]


def training_on(cluster):
    """How many workers train."""
    return len(called(cluster.mark, "TrainWorker"))


ASKED = """
import sys, ray
from actors.training import reserved
from ranking.storage.folder import Folder
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator

ray.init(logging_level="ERROR")
coordinator, folder = get_or_create_autoscaling_coordinator(), Folder(sys.argv[1])
held = lambda: sum(node.get("CPU", 0) for node in ray.get(coordinator.get_reserved_resources.remote("train-dead")).values())
reserved.release(folder)  # nothing was asked for yet
ray.get(coordinator.request_resources.remote(requester_id="train-dead", resources=[{"CPU": 1}], expire_after_s=180))
before = held()
folder.write_text(reserved.NAME, "train-dead")
reserved.release(folder)
print("HELD", before, held())
"""


def test_what_a_dead_training_asked_for_is_taken_back(cluster, tmp_path):
    call = [sys.executable, "-c", ASKED, str(tmp_path)]
    done = ran(call, cluster, 200)
    assert "HELD 1 0\n" in done.stdout, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_a_node_that_goes_is_heard_of_and_the_rest_goes_on(labelled, collection, tmp_path):  # noqa: F811
    folder = copied(labelled, tmp_path)
    settings = {
        "workers": 2,
        "min_workers": 1,
        "epochs": 2000 if GROWS else 15,
        "validation_fraction": 0,
        "checkpoint_every": 10_000,
    }
    call = command(folder, collection, {**BERT, "term_control": {"form": "none"}}, precision="fp32", **settings)
    place, told = folder / "students" / "bert" / "checkpoints", tmp_path / "told.txt"
    with LocalCluster(tmp_path, workers=2, cpus=1) as cluster, told.open("w") as stream:
        going = cluster.addresses[1]
        node = node_of(cluster, going)
        # where one of two workers finds room Ray would wait for the other for a minute, before it looks again at what there is
        environment = {**cluster.driver_environment, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "5"}
        job = subprocess.Popen(call, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        assert wait_until(lambda: "loss" in told.read_text() or job.poll() is not None, 200), told.read_text()
        assert not place.exists("checkpoint_manager_snapshot.json")
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
        assert wait_until(lambda: place.exists("checkpoint_manager_snapshot.json") or job.poll() is not None, 60), (
            told.read_text()
        )
        assert job.poll() is None, told.read_text()
        cluster.kill_worker(going)
        if GROWS:
            assert wait_until(lambda: training_on(cluster) == 1, 100), told.read_text()
            cluster.start_worker(going)
            assert wait_until(lambda: training_on(cluster) == 2, 200), told.read_text()
            lines = told.read_text().count("loss")
            assert wait_until(lambda: told.read_text().count("loss") > lines + 2, 100), told.read_text()
            job.send_signal(signal.SIGINT)
            assert job.wait(timeout=100) == 130, told.read_text()
            return
        assert job.wait(timeout=300) == 0, told.read_text()
    assert "went on after step" in told.read_text()
    assert len(scores_of(folder, "bert")) > 1
