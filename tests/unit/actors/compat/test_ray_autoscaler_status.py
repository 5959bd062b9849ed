"""The autoscaler's status, made with Ray's own classes instead of a running cluster."""

import pytest
import ray
from ray.autoscaler.v2 import schema, sdk

from actors.cluster.stall_report import why_waiting
from actors.compat.ray_autoscaler_status import read_status

REQUEST = schema.ResourceRequestByCount({"CPU": 8.0, "GPU": 4.0}, 2)
GROUP = schema.ResourceRequestByCount({"CPU": 1.0}, 3)


class Context:
    gcs_address = "127.0.0.1:6379"


def launch(status, count, details=None):
    return schema.LaunchRequest("p4d", "teacher", count, status, 0, details=details)


@pytest.fixture
def status(monkeypatch):
    made = schema.ClusterStatus(
        pending_launches=[launch(schema.LaunchRequest.Status.PENDING, 2)],
        failed_launches=[launch(schema.LaunchRequest.Status.FAILED, 1, "InsufficientInstanceCapacity")],
        pending_nodes=[schema.NodeInfo("p4d", "teacher", "i-1", "10.0.0.1")],
        resource_demands=schema.ResourceDemandSummary(
            ray_task_actor_demand=[schema.RayTaskActorDemand([REQUEST])],
            placement_group_demand=[schema.PlacementGroupResourceDemand([GROUP], "")],
        ),
    )
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(sdk, "get_cluster_status", {Context.gcs_address: made}.__getitem__)


def test_status_has_requests_starting_nodes_and_failures(status):
    read = read_status()
    assert read.pending == [({"CPU": 8.0, "GPU": 4.0}, 2), ({"CPU": 1.0}, 3)]
    assert (read.starting_nodes, read.failed_launches) == (3, ["teacher: InsufficientInstanceCapacity"])


def test_stall_report_names_the_pending_requests(status):
    assert why_waiting() == (
        "waiting for 3 x (1 CPU) and 2 x (8 CPU, 4 GPU); 3 nodes are starting; "
        "failed to start: teacher: InsufficientInstanceCapacity"
    )
