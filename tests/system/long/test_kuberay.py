"""The KubeRay files against KubeRay's API reference, and their pods against the Kubernetes schema."""

import json
import shlex

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from tests.testing.facts import ROOT

POD, TEXT, NUMBER, FLAG, TEXTS = "pod", str, int, bool, "texts"
ENV = "env"
CLUSTER = {
    "rayVersion": TEXT,
    "enableInTreeAutoscaling": FLAG,
    "suspend": FLAG,
    "managedBy": TEXT,
    "autoscalerOptions": {
        "image": TEXT,
        "imagePullPolicy": TEXT,
        "idleTimeoutSeconds": NUMBER,
        "upscalingMode": ("Default", "Aggressive", "Conservative"),
        "version": ("v1", "v2"),
        "env": ENV,
    },
    "headGroupSpec": {"template": POD, "enableIngress": FLAG, "rayStartParams": TEXTS, "serviceType": TEXT},
    "workerGroupSpecs": [
        {
            "groupName": TEXT,
            "replicas": NUMBER,
            "minReplicas": NUMBER,
            "maxReplicas": NUMBER,
            "labels": TEXTS,  # since KubeRay 1.5
            "idleTimeoutSeconds": NUMBER,
            "rayStartParams": TEXTS,
            "template": POD,
            "numOfHosts": NUMBER,
            "suspend": FLAG,
        }
    ],
}
KINDS = {
    "RayJob": {
        "entrypoint": TEXT,
        "runtimeEnvYAML": TEXT,
        "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode"),
        "backoffLimit": NUMBER,
        "activeDeadlineSeconds": NUMBER,
        "shutdownAfterJobFinishes": FLAG,
        "ttlSecondsAfterFinished": NUMBER,
        "entrypointNumCpus": NUMBER,
        "submitterPodTemplate": POD,
        "rayClusterSpec": CLUSTER,
    },
    "RayService": {
        "serveConfigV2": TEXT,
        "upgradeStrategy": {"type": ("NewCluster", "None")},
        "excludeHeadPodFromServeSvc": FLAG,
        "rayClusterConfig": CLUSTER,
    },
}
"""Types of the ray.io/v1 fields used here and of related fields (KubeRay's docs/reference/api.md)."""


def check(value, expected, path):
    """Assert that a value has the expected fields and types.

    Args:
        value: Part of a file.
        expected: Its schema: a type, a dict of fields, a list with the schema of its items, or a tuple of choices.
        path: Path of the value in the file, for messages.
    """
    if expected == POD:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": value["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    elif expected == ENV:
        check({"spec": {"containers": [{"name": "c", "image": "i", "env": value}]}}, POD, path)
    elif expected == TEXTS:
        assert all(isinstance(text, str) for text in value.values()), path
    elif isinstance(expected, dict):
        assert value.keys() <= expected.keys(), (path, value.keys() - expected.keys())
        for name, field in value.items():
            check(field, expected[name], f"{path}.{name}")
    elif isinstance(expected, list):
        for index, item in enumerate(value):
            check(item, expected[0], f"{path}[{index}]")
    elif isinstance(expected, tuple):
        assert value in expected, (path, value)
    else:
        assert type(value) is expected, (path, value)


def read(name):
    """Return the content of a KubeRay file."""
    return yaml.safe_load((ROOT / "deploy" / "kuberay" / name).read_text())


@pytest.fixture(params=["rayjob.yaml", "rayservice.yaml"])
def file(request):
    """Parametrize tests over the KubeRay files."""
    return read(request.param)


def cluster_of(file):
    """Return the Ray cluster that a RayJob or a RayService specifies."""
    return file["spec"].get("rayClusterSpec") or file["spec"]["rayClusterConfig"]


def test_files_have_only_kuberay_fields(file):
    assert (file["apiVersion"], file.keys()) == ("ray.io/v1", {"apiVersion", "kind", "metadata", "spec"})
    check(file["spec"], KINDS[file["kind"]], file["kind"])


@pytest.mark.parametrize("wrong", [{"entryPoint": "x"}, {"backoffLimit": "2"}, {"submissionMode": "http"}])
def test_schema_rejects_wrong_fields(wrong):
    with pytest.raises(AssertionError):
        check({**read("rayjob.yaml")["spec"], **wrong}, KINDS["RayJob"], "RayJob")


def test_schema_rejects_a_wrong_field_of_a_pod():
    pod = read("rayjob.yaml")["spec"]["submitterPodTemplate"]
    pod["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        check(pod, POD, "pod")


def test_head_runs_no_work_and_all_pods_have_pinned_ray_and_a_token(file):
    cluster = cluster_of(file)
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        for container in group["template"]["spec"]["containers"]:
            assert {variable["name"] for variable in container["env"]} >= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_worker_groups_offer_the_resources_of_cluster_yaml(file):
    types = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    offering = []
    for group in cluster_of(file)["workerGroupSpecs"]:
        params = group["rayStartParams"]
        offered = json.loads(shlex.split(params["resources"])[0]) if "resources" in params else {}
        if offered:
            offering.append(group["groupName"])
            offered["GPU"] = int(params["num-gpus"])
            matching = [type_ for type_ in types.values() if set(type_["resources"]) == {"CPU", *offered}]
            assert matching
            assert all({name: type_["resources"][name] for name in offered} == offered for type_ in matching)
    assert bool(offering) == (file["kind"] == "RayJob")


def test_ray_serve_accepts_the_serve_config():
    config = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "ray_jobs.serve:application"
