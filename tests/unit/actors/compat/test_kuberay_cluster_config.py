"""Ray's private client and conversion of a RayCluster, with the project's RayCluster instead of a Kubernetes API."""

import pytest
import yaml
from ray.autoscaler._private.kuberay import node_provider

from actors.compat.kuberay_cluster_config import autoscaler_config
from tests.testing.facts import ROOT


@pytest.fixture
def ray_cluster(monkeypatch):
    """Return the RayCluster that Ray's client reads from the path of the cluster `search`."""
    spec = yaml.safe_load((ROOT / "deploy" / "kuberay" / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    cluster = {"metadata": {"name": "search", "namespace": "ranking"}, "spec": spec}

    def get(client, path):
        return {"rayclusters/search": cluster}[path]

    monkeypatch.setattr(node_provider.KubernetesHttpApiClient, "get", get)
    return cluster


def test_node_types_and_limits_of_an_autoscaling_cluster(ray_cluster):
    config = autoscaler_config("search", "ranking")
    groups = ray_cluster["spec"]["workerGroupSpecs"]
    limits = {name: node_type["max_workers"] for name, node_type in config["available_node_types"].items()}
    assert limits == {config["head_node_type"]: 0} | {group["groupName"]: group["maxReplicas"] for group in groups}
    assert config["max_workers"] == sum(group["maxReplicas"] for group in groups)


def test_cluster_without_autoscaling_has_no_configuration(ray_cluster):
    ray_cluster["spec"]["enableInTreeAutoscaling"] = False
    assert autoscaler_config("search", "ranking") is None
