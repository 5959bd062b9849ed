"""Read the autoscaler configuration of a RayCluster on Kubernetes.

Problem: on KubeRay, the maximum number of nodes of each type is only in the RayCluster resource. Ray reads the resource
and converts it to the autoscaler's format, but has no public function for either.

Version: checked with ray==2.60.0.

Private API: `KubernetesHttpApiClient` in `ray.autoscaler._private.kuberay.node_provider`, and
`_derive_autoscaling_config_from_ray_cr` in `ray.autoscaler._private.kuberay.autoscaling_config`.

Remove when: Ray has a public function that returns the node types of a cluster and their maximum numbers of nodes.
https://github.com/ray-project/ray
"""

from __future__ import annotations

from typing import Any


def autoscaler_config(cluster: str, namespace: str) -> dict[str, Any] | None:
    """Return the configuration of a cluster in the format of a cluster file; None if it does not autoscale.

    Uses the service account of this pod. If the cluster autoscales, KubeRay grants this account permission to read
    the RayCluster.

    Args:
        cluster: Name of the RayCluster.
        namespace: Kubernetes namespace of the RayCluster.

    Raises:
        OSError: If the RayCluster cannot be read: no service account, no permission, or no response.
    """
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    # Raises exceptions of the requests library, which are subclasses of OSError.
    ray_cluster = node_provider.KubernetesHttpApiClient(namespace).get(f"rayclusters/{cluster}")
    if not ray_cluster["spec"].get("enableInTreeAutoscaling"):
        return None
    config: dict[str, Any] = autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster)
    return config
