"""The nodes that a cluster has, and those that it can grow to: read from the file of `ray up`, or from KubeRay's RayCluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from actors.cluster.capacity import Nodes
from ranking.errors import InputError

LEFT_ON_THE_HEAD = "~/ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's file on its head."""

GPU_GB = "gpu-gb"
"""Label of a node or node type: the memory of each of its GPUs in GB, as its maker names it."""

_KUBERAY, _CLUSTER = "RAY_USAGE_STATS_KUBERAY_IN_USE", "RAY_CLUSTER_NAME"
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TYPE_LABEL, _TYPE_RESOURCE = "ray.io/accelerator-type", "accelerator_type:"
_KNOWN_GB = {"T4": 16, "L4": 24, "A10G": 24, "L40S": 48, "H100": 80, "H200": 141}
"""Cards as Ray names them that come with one size of memory on clouds; an A100 has 40 or 80, and is told by the label."""


def nodes_now() -> list[Nodes]:
    """The nodes of the cluster that this driver is connected to."""
    import ray

    return [
        Nodes(1, node["Resources"], gpu_gb_of(node["Labels"], node["Resources"]))
        for node in ray.nodes()
        if node["Alive"]
    ]


def gpu_gb_of(labels: Mapping[str, str], resources: Mapping[str, float]) -> float | None:
    """GB of each GPU by the label `gpu-gb`, else by the card's type; None where neither tells. Raises InputError for a wrong label."""
    if GPU_GB in labels:
        try:
            return float(labels[GPU_GB])
        except ValueError:
            raise InputError(f"label {GPU_GB!r} of a node: a number of GB is needed, not {labels[GPU_GB]!r}") from None
    named = [name.removeprefix(_TYPE_RESOURCE) for name in resources if name.startswith(_TYPE_RESOURCE)]
    types = [labels[_TYPE_LABEL]] if _TYPE_LABEL in labels else named
    return next((float(_KNOWN_GB[name]) for name in types if name in _KNOWN_GB), None)


def nodes_of_file(text: str, where: str) -> list[Nodes]:
    """What a cluster file lets a cluster grow to, the head included. Raises InputError for a file that is none."""
    try:
        return _nodes_of(yaml.safe_load(text))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: is no cluster file ({type(error).__name__}: {error})") from None


def _nodes_of(held: Mapping[str, Any]) -> list[Nodes]:
    head, most = held.get("head_node_type"), int(held.get("max_workers", 0))
    nodes = []
    for name, one in held["available_node_types"].items():
        resources = {resource: float(amount) for resource, amount in (one.get("resources") or {}).items()}
        count = (
            1 if name == head else min(most, int(one.get("max_workers", most)))
        )  # a type without a number of its own may have all
        nodes.append(Nodes(count, resources, gpu_gb_of(one.get("labels") or {}, resources)))
    return nodes


def on_kuberay() -> bool:
    """Whether this process is in a pod that KubeRay started."""
    return _KUBERAY in os.environ


def nodes_of_kuberay() -> list[Nodes] | None:
    """What the RayCluster of this pod lets it grow to, the head included; None where it does not grow.

    Read as Ray's autoscaler reads it, with the pod's service account, which KubeRay allows that where the cluster autoscales. Raises
    OSError where it cannot be read: no account, no permission, no answer.
    """
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
    if _CLUSTER not in os.environ:
        raise OSError(f"{_CLUSTER} is not set in this pod")
    path = f"rayclusters/{os.environ[_CLUSTER]}"
    found = node_provider.KubernetesHttpApiClient(namespace).get(path)  # its errors are requests', which are OSErrors
    if not found["spec"].get("enableInTreeAutoscaling"):
        return None
    return _nodes_of(autoscaling_config._derive_autoscaling_config_from_ray_cr(found))
