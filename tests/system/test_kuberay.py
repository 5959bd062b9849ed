"""The KubeRay files: fields and types as KubeRay's API reference lists them, pods as Kubernetes' own schema has them."""

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
"""Fields of ray.io/v1 that are used here or stand nearest, with their types (KubeRay's docs/reference/api.md)."""


def check(value, wanted, where):
    """Assert that a value has the fields and types that are wanted."""
    if wanted == POD:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": value["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    elif wanted == ENV:
        check({"spec": {"containers": [{"name": "c", "image": "i", "env": value}]}}, POD, where)
    elif wanted == TEXTS:
        assert all(isinstance(held, str) for held in value.values()), where
    elif isinstance(wanted, dict):
        assert value.keys() <= wanted.keys(), (where, value.keys() - wanted.keys())
        for name, held in value.items():
            check(held, wanted[name], f"{where}.{name}")
    elif isinstance(wanted, list):
        for place, held in enumerate(value):
            check(held, wanted[0], f"{where}[{place}]")
    elif isinstance(wanted, tuple):
        assert value in wanted, (where, value)
    else:
        assert type(value) is wanted, (where, value)


def read(name):
    return yaml.safe_load((ROOT / "deploy" / "kuberay" / name).read_text())


@pytest.fixture(params=["rayjob.yaml", "rayservice.yaml"])
def file(request):
    return read(request.param)


def cluster_of(file):
    return file["spec"].get("rayClusterSpec") or file["spec"]["rayClusterConfig"]


def test_all_fields_are_those_of_kuberay(file):
    assert (file["apiVersion"], file.keys()) == ("ray.io/v1", {"apiVersion", "kind", "metadata", "spec"})
    check(file["spec"], KINDS[file["kind"]], file["kind"])


@pytest.mark.parametrize("wrong", [{"entryPoint": "x"}, {"backoffLimit": "2"}, {"submissionMode": "http"}])
def test_and_others_would_be_found(wrong):
    with pytest.raises(AssertionError):
        check({**read("rayjob.yaml")["spec"], **wrong}, KINDS["RayJob"], "RayJob")


def test_a_wrong_field_of_a_pod_would_be_found():
    held = read("rayjob.yaml")["spec"]["submitterPodTemplate"]
    held["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        check(held, POD, "pod")


def test_the_head_does_no_work_and_all_are_of_the_pinned_ray_with_a_token(file):
    cluster = cluster_of(file)
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        for container in group["template"]["spec"]["containers"]:
            assert {one["name"] for one in container["env"]} >= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_groups_offer_the_resources_that_cluster_yaml_offers(file):
    types = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    offering = []
    for group in cluster_of(file)["workerGroupSpecs"]:
        given = group["rayStartParams"]
        offered = json.loads(shlex.split(given["resources"])[0]) if "resources" in given else {}
        if offered:
            offering.append(group["groupName"])
            offered["GPU"] = int(given["num-gpus"])
            like = [one for one in types.values() if set(one["resources"]) == {"CPU", *offered}]
            assert like
            assert all({name: one["resources"][name] for name in offered} == offered for one in like)
    assert bool(offering) == (file["kind"] == "RayJob")


def test_serve_takes_its_part():
    config = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "ray_jobs.serve:application"
