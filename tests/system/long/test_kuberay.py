"""The KubeRay files against KubeRay's API reference, and their pods against the Kubernetes schema."""

import json
import shlex

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from tests.testing.facts import ROOT

POD, TEXT, NUMBER, FLAG, TEXTS = "pod", str, int, bool, "texts"
ENV, SECURITY, MOUNTS = "env", "securityContext", "volumeMounts"
CONTAINER_FIELDS = (ENV, SECURITY, MOUNTS)
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
        "securityContext": SECURITY,
        "volumeMounts": MOUNTS,
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
    elif expected in CONTAINER_FIELDS:
        check({"spec": {"containers": [{"name": "c", "image": "i", expected: value}]}}, POD, path)
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


def documents(name):
    """Return the documents of a KubeRay file with several, by kind and name."""
    parsed = yaml.safe_load_all((ROOT / "deploy" / "kuberay" / name).read_text())
    return {(one["kind"], one["metadata"]["name"]): one for one in parsed}


def templates_of(file):
    """Return the pod templates of a file by the role of the pod: submitter, head, or the name of a worker group."""
    spec, cluster = file["spec"], cluster_of(file)
    submitter = {"submitter": spec["submitterPodTemplate"]} if "submitterPodTemplate" in spec else {}
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {**submitter, "head": cluster["headGroupSpec"]["template"], **workers}


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


RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
LABELS = {"app.kubernetes.io/part-of": "rradistill"}
HOME_FOLDERS = (".cache", ".config", ".triton")


def test_pods_meet_the_restricted_pod_security_standard(file):
    assert cluster_of(file)["autoscalerOptions"]["securityContext"] == RESTRICTED
    for template in templates_of(file).values():
        pod = template["spec"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1000)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [container["securityContext"] for container in pod["containers"]] == [RESTRICTED]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_pods_can_write_where_ray_and_the_libraries_do(file):
    for role, template in templates_of(file).items():
        pod = template["spec"]
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}
        folders = {"/tmp"} if role == "submitter" else {"/tmp", *(f"/home/ray/{name}" for name in HOME_FOLDERS)}
        assert mounts.keys() >= folders
        assert not any("medium" in mounts[folder] for folder in folders)
    head = templates_of(file)["head"]["spec"]
    for mount in cluster_of(file)["autoscalerOptions"]["volumeMounts"]:
        assert mount["name"] in {volume["name"] for volume in head["volumes"]}


def test_only_the_head_has_an_api_token_and_workers_have_their_own_account(file):
    accounts = documents("accounts.yaml")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    for role, template in templates_of(file).items():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is (role == "head")
        if role != "submitter":
            name = "rradistill-head" if role == "head" else "rradistill-worker"
            assert pod["serviceAccountName"] == name
            assert ("ServiceAccount", name) in accounts


def test_every_container_has_resources(file):
    for template in templates_of(file).values():
        for container in template["spec"]["containers"]:
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][bound].keys()


@pytest.mark.parametrize("name", ["accounts.yaml", "network.yaml", "disruption.yaml"])
def test_other_files_are_valid_kubernetes_resources(name):
    for document in documents(name).values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_network_policies_select_every_pod_and_open_few_ports(file):
    policies = documents("network.yaml")
    assert all(template["metadata"]["labels"] == LABELS for template in templates_of(file).values())
    policy = policies["NetworkPolicy", "rradistill"]["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == ({"matchLabels": LABELS}, ["Ingress", "Egress"])
    inside, *others = policy["ingress"]
    assert inside == {"from": [{"podSelector": {"matchLabels": LABELS}}]}
    assert [[port["port"] for port in rule["ports"]] for rule in others] == [[8265, 8000], [8080]]
    blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert [block["except"] for block in blocks] == [["169.254.0.0/16"]]  # the instance metadata service


def test_callers_and_the_disruption_budget_select_the_workers_of_the_service():
    (group,) = cluster_of(read("rayservice.yaml"))["workerGroupSpecs"]
    selected = {**LABELS, "ray.io/group": group["groupName"]}  # KubeRay sets the second label
    policy = documents("network.yaml")["NetworkPolicy", "rradistill-service"]["spec"]
    assert policy["podSelector"] == {"matchLabels": selected}
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [8000]
    budget = documents("disruption.yaml")["PodDisruptionBudget", "rradistill-service"]["spec"]
    assert budget["selector"] == {"matchLabels": selected}
    assert group["minReplicas"] > budget["minAvailable"]  # otherwise no node could be drained


def test_service_reads_keys_from_the_protected_prefix():
    config = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    assert config["applications"][0]["args"]["serving.keys"].startswith("s3://BUCKET/keys/")
