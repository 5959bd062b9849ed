"""Explain why a stage makes no progress: the resources that Ray is waiting for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from actors.compat import ray_autoscaler_status


def why_waiting() -> str:
    """Ask the autoscaler which resources are pending and return them as a one-line message."""
    try:
        status = ray_autoscaler_status.read_status()
    except Exception as error:
        return f"the cluster status cannot be read ({type(error).__name__})"
    waiting: Counter[str] = Counter()
    for bundle, count in status.pending:
        waiting[bundle_text(bundle)] += count
    return waiting_text(waiting, status.starting_nodes, Counter(status.failed_launches))


def waiting_text(waiting: Mapping[str, int], starting: int, failed: Mapping[str, int]) -> str:
    """Describe pending resource requests in one line.

    Args:
        waiting: {resources of a bundle, as `bundle_text` formats them: number of pending bundles}. A bundle is one
            request for resources on a single node.
        starting: Number of nodes that are starting.
        failed: {node type and error of a failed node launch: number of such failures}.
    """
    if not waiting:
        return "no resource request is pending; workers are busy or starting, see their logs in the Ray dashboard"
    bundles = " and ".join(f"{count} x ({bundle})" for bundle, count in sorted(waiting.items()))
    nodes = f"{starting} nodes are starting" if starting else "no node is starting"
    launches = "; ".join(sorted(failed))
    return f"waiting for {bundles}; {nodes}" + (f"; failed to start: {launches}" if launches else "")


def bundle_text(bundle: Mapping[str, float]) -> str:
    """Format the resources of a bundle, without the resources that Ray adds for placement groups."""
    return (
        ", ".join(f"{amount:g} {name}" for name, amount in sorted(bundle.items()) if "_group_" not in name and amount)
        or "no resources"
    )
