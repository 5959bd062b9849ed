"""Clusters of a head and three workers: labels equal those of one node, and a service survives a lost node."""

import httpx
import pytest

from ranking.records import Label
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.fact_runs import STAGES
from tests.testing.serving import Service, order
from tests.testing.submitted_jobs import SubmittedJob, job_arguments
from tools.local_cluster.nodes import LocalCluster, node_of
from tools.local_cluster.processes import find_processes, wait_until
from tools.tiny_models import tiny_student


def counts_of(run):
    """Return the row counts of each stage, and the total numbers of prompt tokens and of completion tokens."""
    manifests = {stage: Manifest.model_validate_json((run / stage).read_text("_manifest.json")) for stage in STAGES}
    rows = {stage: (manifest.rows_in, manifest.rows_out, manifest.rejected) for stage, manifest in manifests.items()}
    # tokens of a text that occurs in both splits count for whichever split comes first; only the sum is deterministic
    return (
        rows,
        sum(manifest.tokens.prompt for manifest in manifests.values()),
        sum(manifest.tokens.completion for manifest in manifests.values()),
    )


def labels_of(run):
    """Return the labels of a run by query id."""
    return {label.query_id: label for label in (run / "labels").read_rows(Label)}


@pytest.mark.timeout(900)
def test_labels_and_counts_equal_those_of_one_node(finished, collection, tmp_path):
    settings = {"run": "spread", "storage": str(tmp_path / "runs"), "collection.source": f"beir:{collection}"}
    settings["students"] = tiny_student(tmp_path / "base")  # only the student's row counts are compared
    with LocalCluster(tmp_path, workers=3, cpus=2, dashboard=True) as cluster:
        environment = cluster.driver_environment
        status, logs = SubmittedJob(environment, "ray_jobs.pipeline", job_arguments(settings)).wait()
    assert status == "SUCCEEDED", logs[-3000:]
    three_nodes, one_node = Folder(tmp_path / "runs") / "spread", Folder(finished[0]) / "facts"
    assert counts_of(three_nodes) == counts_of(one_node)
    labels, expected = labels_of(three_nodes), labels_of(one_node)
    assert labels.keys() == expected.keys()
    for query_id, label in labels.items():
        reference = expected[query_id]
        assert [(c.doc_id, c.tier, c.position) for c in label.candidates] == [
            (c.doc_id, c.tier, c.position) for c in reference.candidates
        ]
        assert [c.target for c in label.candidates] == pytest.approx([c.target for c in reference.candidates], abs=0.01)


@pytest.mark.timeout(600)
def test_replicas_run_on_different_nodes_and_move_from_a_lost_node(collection, tmp_path):
    def nodes():
        replicas = find_processes(cluster.mark, "ServeReplica:rradistill:Ingress")
        return {node_of(cluster, replica) for replica in replicas} - {None}

    def responds():
        try:
            response = service.rerank()
        except httpx.HTTPError:
            return False
        return response.status_code == 200 and [result["index"] for result in response.json()["results"]] == expected

    with LocalCluster(tmp_path, workers=3, cpus=1) as cluster:
        service = Service(
            tmp_path, cluster.driver_environment, collection, page=False, replicas=2, traffic={"challenger": None}
        )
        try:
            expected = order(service.scores("a"))
            assert responds()
            assert wait_until(lambda: len(nodes()) == 2, 60)
            lost = nodes().pop()
            cluster.kill_worker(lost)
            assert responds() or responds()
            assert wait_until(lambda: len(nodes()) == 2 and lost not in nodes(), 120)
            assert wait_until(responds, 60)
        finally:
            service.close()
