"""A head and three workers: the labels and counts of a run on one node, and a service that a lost node does not end."""

import httpx
import pytest

from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.processes import called, wait_until
from benchmarks.faults.victims import node_of
from ranking.records import Label
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.system.conftest import Submitted, arguments_of
from tests.system.test_pipeline import STAGES
from tests.testing.serving import Service, order
from tools.tiny_models import tiny_student


def counts_of(run):
    manifests = {stage: Manifest.model_validate_json((run / stage).read_text("_manifest.json")) for stage in STAGES}
    rows = {stage: (one.rows_in, one.rows_out, one.rejected) for stage, one in manifests.items()}
    # a text that lists of both splits hold is read once, for whichever comes first; only the sum is always the same
    return (
        rows,
        sum(one.tokens.prompt for one in manifests.values()),
        sum(one.tokens.completion for one in manifests.values()),
    )


def labels_of(run):
    return {label.query_id: label for label in (run / "labels").read_rows(Label)}


@pytest.mark.timeout(900)
def test_labels_and_counts_are_those_of_one_node(finished, collection, tmp_path):
    settings = {"run": "spread", "storage": str(tmp_path / "runs"), "collection.source": f"beir:{collection}"}
    settings["students"] = tiny_student(tmp_path / "base")  # it is counted, and nothing else
    with LocalCluster(tmp_path, workers=3, cpus=2, dashboard=True) as cluster:
        environment = cluster.driver_environment
        status, logs = Submitted(environment, "ray_jobs.pipeline", arguments_of(settings)).ended()
    assert status == "SUCCEEDED", logs[-3000:]
    spread, one = Folder(tmp_path / "runs") / "spread", Folder(finished[0]) / "facts"
    assert counts_of(spread) == counts_of(one)
    found, expected = labels_of(spread), labels_of(one)
    assert found.keys() == expected.keys()
    for query_id, label in found.items():
        same = expected[query_id]
        assert [(c.doc_id, c.tier, c.position) for c in label.candidates] == [
            (c.doc_id, c.tier, c.position) for c in same.candidates
        ]
        assert [c.target for c in label.candidates] == pytest.approx([c.target for c in same.candidates], abs=0.01)


@pytest.mark.timeout(600)
def test_replicas_stand_on_nodes_of_their_own_and_a_lost_node_is_made_up_for(collection, tmp_path):
    def nodes():
        return {node_of(cluster, replica) for replica in called(cluster.mark, "ServeReplica:rradistill:Ingress")} - {
            None
        }

    def answered():
        try:
            answer = service.rerank()
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and [one["index"] for one in answer.json()["results"]] == expected

    with LocalCluster(tmp_path, workers=3, cpus=1) as cluster:
        service = Service(
            tmp_path, cluster.driver_environment, collection, page=False, replicas=2, traffic={"challenger": None}
        )
        try:
            expected = order(service.scores("a"))
            assert answered()
            assert wait_until(lambda: len(nodes()) == 2, 60)
            lost = nodes().pop()
            cluster.kill_worker(lost)
            assert answered() or answered()
            assert wait_until(lambda: len(nodes()) == 2 and lost not in nodes(), 120)
            assert wait_until(answered, 60)
        finally:
            service.close()
