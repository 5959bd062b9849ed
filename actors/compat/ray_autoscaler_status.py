"""Read from Ray's autoscaler which resource requests are pending and which nodes are starting.

Problem: a stage that makes no progress must report what it waits for. `ray status` prints this, but Ray has no public
function that returns it.

Version: checked with ray==2.60.0.

Private API: `ray.autoscaler.v2.sdk.get_cluster_status` and the fields of its `ClusterStatus`. Neither is documented.

Remove when: Ray documents a Python function that returns the pending resource requests.
https://github.com/ray-project/ray
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AutoscalerStatus:
    """What the autoscaler is waiting for.

    Attributes:
        pending: Pending requests for resources on one node, as ({resource: amount}, number of requests).
        starting_nodes: Number of nodes that are starting.
        failed_launches: Node type and error of each failed node launch.
    """

    pending: list[tuple[dict[str, float], int]]
    starting_nodes: int
    failed_launches: list[str]


def read_status() -> AutoscalerStatus:
    """Ask the autoscaler of the cluster that this driver is connected to."""
    import ray
    from ray.autoscaler.v2 import sdk

    status = sdk.get_cluster_status(ray.get_runtime_context().gcs_address)
    demands = status.resource_demands
    return AutoscalerStatus(
        pending=[
            (request.bundle, request.count)
            for demand in (*demands.ray_task_actor_demand, *demands.placement_group_demand)
            for request in demand.bundles_by_count
        ],
        starting_nodes=sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes),
        failed_launches=[f"{launch.ray_node_type_name}: {launch.details}" for launch in status.failed_launches],
    )
