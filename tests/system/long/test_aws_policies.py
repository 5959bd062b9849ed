"""The IAM policies in deploy/aws against the S3 requests of our code and the EC2 calls of Ray's node provider.

moto emulates S3, EC2 and IAM, and its requests are recorded. tests/testing/iam.py evaluates the policies, because
moto does not know the resources of bulk deletions.
"""

import re
import time
import urllib.parse

import pyarrow as pa
import pytest
import ray.train
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config
from ray.train.v2._internal.execution.storage import StorageContext

from ranking.records import Query
from ranking.registry import Registry
from ranking.storage.folder import Folder
from ranking.storage.lease import leased
from ranking.storage.sources import fetched
from tests.testing.aws import OFFICE, cluster_file, networks_of, new_security_group, recorded_aws
from tests.testing.iam import actions, allows, allows_key, statements
from tools.s3_server import BUCKET, client_of, running_s3

REQUEST = re.compile(rf'"(GET|HEAD|PUT|POST|DELETE) /{BUCKET}/?([^? ]*)\??(\S*) HTTP')
WRITES = ("PutObject", "DeleteObject")
KEYS = "keys/keys.txt"
REGISTRY = "rra/registry/"


def action_of(method, key, query):
    """Return the S3 action that a request needs, as in AWS's service authorization reference."""
    if not key:
        return "DeleteObject" if method == "POST" and "delete" in query else "ListBucket"
    if method in ("GET", "HEAD"):
        return "GetObject"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return "PutObject"


def use_storage(run, folder):
    """Write, read, move and delete what jobs, training workers and replicas do in a run's folder."""
    run.check_writable()
    with leased(run, "test", lambda: None, print):
        (run / "labels").write_rows("part-1.parquet", [Query(query_id="q", text="t")])
        (run / "labels").write_table("part-2.parquet", pa.table({"n": pa.array(range(3_000_000), pa.int64())}))
        (run / "labels").move_file_to("part-1.parquet", run / "rejected")
        assert (run / "rejected").read_column("query_id") == ["q"]
        (run / "labels").move_to(run / "superseded" / "labels")
        (run / "superseded").delete()
    (folder / "model.safetensors").write_bytes(b"weights")
    Folder(folder).copy_to(run / "model")
    ray_train = StorageContext(
        storage_path=run.path, experiment_dir_name="checkpoints", storage_filesystem=run.filesystem
    )
    ray_train.persist_current_checkpoint(ray.train.Checkpoint.from_directory(str(folder)), "checkpoint_1")
    assert len(run.inventory()) >= 3


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """Use storage as workers and as the head do, and return the (action, key) pairs of the requests of each."""
    folder, log = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("s3") / "log"
    recorded, begin = {}, 0

    def take():
        nonlocal begin
        text = log.read_text()[begin:]
        begin += len(text)
        found = REQUEST.findall(text)
        return {(action_of(method, key, query), urllib.parse.unquote(key)) for method, key, query in found}

    with pytest.MonkeyPatch.context() as patched, running_s3(log) as variables:
        for name, value in variables.items():
            patched.setenv(name, value)
        client_of(variables).put_object(Bucket=BUCKET, Key=KEYS, Body=b"secret")
        storage = Folder(f"s3://{BUCKET}/rra")
        take()
        use_storage(storage / "run", folder)
        with fetched(f"s3://{BUCKET}/{KEYS}") as keys:
            assert keys.read_text() == "secret"
        recorded["worker"] = take()
        registry = Registry(storage)
        registry.promote(storage / "run" / "model", "v1", "run", "better")
        assert registry.champion()[0].champion == "v1"
        recorded["head"] = recorded["worker"] | take()
    return recorded


@pytest.mark.parametrize("node", ["worker", "head"])
def test_policy_allows_every_request_and_no_other_action(requests, node):
    allowed = {(action, key) for action, key in requests[node] if allows_key(f"{node}-policy", action, key)}
    bulk_deletions = {("DeleteObject", "")}  # their keys are in the body of the request
    assert requests[node] - bulk_deletions == allowed
    assert {action for action, _ in requests[node]} == actions(f"{node}-policy", "s3")


def test_only_the_head_may_write_the_registry(requests):
    written = {(action, key) for action, key in requests["head"] if action in WRITES and key.startswith(REGISTRY)}
    assert {key for _, key in written} >= {f"{REGISTRY}champion.json", f"{REGISTRY}v1/checksums.json"}
    assert not any(allows_key("worker-policy", action, key) for action, key in written)
    assert not [key for action, key in requests["worker"] if key.startswith(REGISTRY)]
    assert allows_key("worker-policy", "GetObject", f"{REGISTRY}champion.json")


@pytest.mark.parametrize("policy", ["worker-policy", "head-policy", "reader-policy"])
def test_no_node_may_change_code_and_keys(policy):
    for key in (KEYS, "code/rradistill.zip", "collection/corpus.jsonl", "log/part.tsv", "elsewhere"):
        assert not any(allows_key(policy, action, key) for action in (*WRITES, "PutObjectAcl", "DeleteObjectVersion"))
    assert allows_key(policy, "GetObject", KEYS) == (policy != "reader-policy")
    assert not any(
        allows(policy, f"s3:{action}", "arn:aws:s3:::other/rra/run.yaml") for action in ("GetObject", *WRITES)
    )


def test_workers_and_readers_have_no_permissions_beyond_storage():
    for policy in ("worker-policy", "head-policy", "reader-policy"):
        assert {action.partition(":")[0] for one in statements(policy) for action in one["Action"]} == {"s3"}
    assert actions("reader-policy", "s3") == {"ListBucket", "GetObject"}


def test_autoscaler_policy_has_the_calls_of_rays_node_provider(tmp_path):
    with recorded_aws(tmp_path) as calls:
        config = bootstrap_aws(prepare_config(cluster_file(new_security_group())))
        calls.clear()
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        node_config = config["available_node_types"]["cpu"]["node_config"]
        (node,) = provider.create_node(node_config, {"ray-node-kind": "worker", "ray-node-status": "uninitialized"}, 1)
        assert provider.non_terminated_nodes({}) == [node]
        provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
        provider.terminate_node(node)
        deadline = time.monotonic() + 60
        while ("ec2", "CreateTags") not in calls and time.monotonic() < deadline:
            time.sleep(0.1)  # the provider tags in a thread
    assert {service for service, _ in calls} == {"ec2"}
    assert {name for _, name in calls} == actions("autoscaler-policy", "ec2")
    assert actions("autoscaler-policy", "iam") == {"PassRole"}


def test_head_may_change_only_its_own_instances_and_pass_the_worker_role():
    cluster = cluster_file()
    role = cluster["available_node_types"]["cpu"]["node_config"]["IamInstanceProfile"]["Name"]
    tag = {"StringEquals": {"aws:ResourceTag/ray-cluster-name": cluster["cluster_name"]}}
    for one in statements("autoscaler-policy"):
        if "iam:PassRole" in one["Action"]:
            assert one["Resource"] == [f"arn:aws:iam::ACCOUNT:role/{role}"]
        if "ec2:TerminateInstances" in one["Action"]:
            assert one["Condition"] == tag
        assert one["Resource"] != ["*"] or one["Action"] == ["ec2:DescribeInstances"]


def test_ray_up_requires_a_security_group_and_keeps_its_rules(tmp_path):
    with recorded_aws(tmp_path) as calls:
        with pytest.raises(AssertionError):
            bootstrap_aws(prepare_config(cluster_file()))
        group = new_security_group()
        calls.clear()
        bootstrap_aws(prepare_config(cluster_file(group)))
        assert all(name.startswith(("Describe", "CreateKeyPair")) for _, name in calls)
        assert networks_of(group) == [OFFICE]
