"""What waits for room on the cluster, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def why_waiting() -> str:
    """Why work may stand still: what is waited for, by the cluster's own account."""
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    try:
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        demands = status.resource_demands
        every = [*demands.ray_task_actor_demand, *demands.placement_group_demand]
        waiting: Counter[str] = Counter()
        for demand in every:
            for bundle in demand.bundles_by_count:
                waiting[shape_text(bundle.bundle)] += bundle.count
        failed = Counter(f"{one.ray_node_type_name}: {one.details}" for one in status.failed_launches)
        coming = sum(one.count for one in status.pending_launches) + len(status.pending_nodes)
    except Exception as error:
        return f"the cluster does not say why ({type(error).__name__})"
    return text_of(waiting, coming, failed)


def text_of(waiting: Mapping[str, int], coming: int, failed: Mapping[str, int]) -> str:
    """In words. waiting: shapes of resources with how many of them. coming: nodes that are starting. failed: launches that failed."""
    if not waiting:
        return "nothing waits for room on the cluster; workers are busy or starting, their logs are in the dashboard"
    shapes = " and ".join(f"{count} x ({shape})" for shape, count in sorted(waiting.items()))
    nodes = f"{coming} nodes are coming" if coming else "no node is coming"
    launches = "; ".join(sorted(failed))
    return f"waiting for room for {shapes}; {nodes}" + (f"; could not be started: {launches}" if launches else "")


def shape_text(bundle: Mapping[str, float]) -> str:
    """Resources of a bundle; Ray's own of placement groups are left out."""
    return (
        ", ".join(f"{amount:g} {name}" for name, amount in sorted(bundle.items()) if "_group_" not in name and amount)
        or "no resources"
    )
