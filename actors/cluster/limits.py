"""Read the nodes that a cluster has, and the nodes that it can scale up to.

The limits come from the cluster file of `ray up` or from KubeRay's RayCluster resource.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from actors.cluster.capacity import Nodes
from actors.compat import kuberay_cluster_config
from ranking.errors import InputError

HEAD_NODE_CLUSTER_FILE = "~/ray_bootstrap_config.yaml"
"""Path of the copy of the cluster file that `ray up` leaves on the head node."""

GPU_GB = "gpu-gb"
"""Label of a node or node type with the memory of each GPU in GB, as the vendor specifies it."""

_KUBERAY, _CLUSTER = "RAY_USAGE_STATS_KUBERAY_IN_USE", "RAY_CLUSTER_NAME"
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TYPE_LABEL, _TYPE_RESOURCE = "ray.io/accelerator-type", "accelerator_type:"
_KNOWN_GB = {"T4": 16, "L4": 24, "A10G": 24, "L40S": 48, "H100": 80, "H200": 141}
"""Memory in GB by Ray's accelerator type, for GPUs that clouds offer in one size.

An A100 has 40 or 80 GB, so nodes with A100s need the label `gpu-gb`.
"""


def nodes_now() -> list[Nodes]:
    """List the live nodes of the cluster that this driver is connected to."""
    import ray

    return [
        Nodes(1, node["Resources"], gpu_gb_of(node["Labels"], node["Resources"]))
        for node in ray.nodes()
        if node["Alive"]
    ]


def gpu_gb_of(labels: Mapping[str, str], resources: Mapping[str, float]) -> float | None:
    """Return the memory of each GPU of a node in GB.

    Reads the label `gpu-gb`. Without the label, the accelerator type determines the memory.

    Returns:
        The memory in GB, or None if it is unknown.

    Raises:
        InputError: If the label is not a number.
    """
    if GPU_GB in labels:
        try:
            return float(labels[GPU_GB])
        except ValueError:
            raise InputError(
                f"node label {GPU_GB!r}: must be a number of GB such as 80, not {labels[GPU_GB]!r}"
            ) from None
    resource_types = [name.removeprefix(_TYPE_RESOURCE) for name in resources if name.startswith(_TYPE_RESOURCE)]
    types = [labels[_TYPE_LABEL]] if _TYPE_LABEL in labels else resource_types
    return next((float(_KNOWN_GB[name]) for name in types if name in _KNOWN_GB), None)


def nodes_of_file(text: str, where: str) -> list[Nodes]:
    """Parse a cluster file and return the nodes that the cluster can scale up to, including the head node.

    Args:
        text: Content of the file.
        where: Name of the file in messages.

    Raises:
        InputError: If the text is not a cluster file.
    """
    try:
        return _nodes_of(yaml.safe_load(text))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: not a Ray cluster file ({type(error).__name__}: {error})") from None


def _nodes_of(config: Mapping[str, Any]) -> list[Nodes]:
    """Return the nodes of each node type in an autoscaler configuration.

    A node type without its own `max_workers` is limited only by the cluster's `max_workers`.
    """
    head, max_workers = config.get("head_node_type"), int(config.get("max_workers", 0))
    nodes = []
    for name, node_type in config["available_node_types"].items():
        resources = {resource: float(amount) for resource, amount in (node_type.get("resources") or {}).items()}
        count = 1 if name == head else min(max_workers, int(node_type.get("max_workers", max_workers)))
        nodes.append(Nodes(count, resources, gpu_gb_of(node_type.get("labels") or {}, resources)))
    return nodes


def on_kuberay() -> bool:
    """Return whether this process runs in a pod that KubeRay started."""
    return _KUBERAY in os.environ


def nodes_of_kuberay() -> list[Nodes] | None:
    """Read the nodes that this pod's RayCluster can scale up to, including the head node.

    Returns:
        The nodes, or None if the cluster does not autoscale.

    Raises:
        OSError: If the RayCluster cannot be read: no service account, no permission, or no response.
    """
    namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
    if _CLUSTER not in os.environ:
        raise OSError(f"environment variable {_CLUSTER} is not set in this pod")
    config = kuberay_cluster_config.autoscaler_config(os.environ[_CLUSTER], namespace)
    return None if config is None else _nodes_of(config)
