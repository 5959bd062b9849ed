"""Shadow mode, interleaving and autoscaling of a running service."""

import concurrent.futures
import time

import httpx
import psutil
import pytest

from ranking.ab_test.arm_assignment import team_draft
from tests.testing.metrics import wait_for_total
from tests.testing.serving import TEXTS, Service, order
from tools.local_cluster.processes import wait_until

pytestmark = pytest.mark.timeout(600)
TRAFFIC = {"challenger": "b", "experiment": "modes", "share": 1.0}


@pytest.fixture
def service_with(cluster, collection, tmp_path):
    """Return a function that starts a service with given settings of `serving`."""
    services = []

    def make(**settings):
        services.append(Service(tmp_path, cluster, collection, page=False, **settings))
        return services[-1]

    yield make
    for service in services:
        service.close()


def test_service_survives_its_driver_and_the_next_driver_takes_over(service_with, tmp_path):
    service = service_with()
    service.process.kill()
    service.process.wait()
    assert service.rerank().headers["x-model-version"] == "a"
    output = tmp_path / "output"
    with output.open("w") as stream:
        service.start(stream)
    assert wait_until(lambda: "stop with Ctrl-C" in output.read_text(), 300)
    assert "the service already runs on this cluster" in output.read_text()
    assert service.rerank().status_code == 200
    service.process.terminate()
    assert service.process.wait(timeout=60) == 0
    with pytest.raises(httpx.ConnectError):
        service.rerank()


def rerank_as_users(service, count):
    """Send one request per user with its own experiment key, in sequence, and return the responses."""
    return [service.rerank(headers={"x-experiment-key": f"user-{n}"}, top_n=4) for n in range(count)]


def test_shadow_challenger_scores_the_requests_of_the_champion(service_with, cluster):
    service = service_with(traffic={**TRAFFIC, "mode": "shadow"})
    orders = {name: order(service.scores(name)) for name in "ab"}
    responses = rerank_as_users(service, 8)
    for response in responses:
        assert response.headers["x-model-version"] == "a"
        assert [result["index"] for result in response.json()["results"]] == orders["a"][:4]
    rows = service.exposures([response.headers["x-exposure-id"] for response in responses])
    shadowed = [row for row in rows if row.shadow is not None]
    assert shadowed
    for row in rows:
        assert (row.mode, row.arm, row.version, row.shown) == (
            "shadow",
            "champion",
            "a",
            [str(i) for i in orders["a"][:4]],
        )
    assert all(row.shadow == [str(i) for i in orders["b"]] for row in shadowed)
    name = "ray_rradistill_serve_shadow_total"
    assert wait_for_total(cluster["METRICS"], len(shadowed), name, 'outcome="scored"') == len(shadowed)


def test_interleaving_drafts_both_rankings_and_load_adds_a_replica(service_with):
    service = service_with(
        traffic={**TRAFFIC, "mode": "interleave"},
        max_replicas=2,
        limits={"max_requests_per_key": 64, "max_waiting_documents": 16 * 20 * len(TEXTS), "max_share_per_key": 1.0},
    )
    orders = [order(service.scores(name)) for name in "ab"]
    responses = rerank_as_users(service, 8)
    for response, row in zip(
        responses, service.exposures([response.headers["x-exposure-id"] for response in responses]), strict=True
    ):
        drafted, teams = team_draft(*orders, row.exposure_id)
        assert [result["index"] for result in response.json()["results"]] == drafted[:4]
        assert (row.arm, row.version, row.teams) == ("interleaved", "a+b", teams[:4])
    deadline = time.monotonic() + 180

    def send_load(_):
        while len(replicas()) < 2 and time.monotonic() < deadline:
            service.rerank(TEXTS * 20).raise_for_status()

    assert len(replicas()) == 1
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(send_load, range(16)))
    assert len(replicas()) == 2


def replicas():
    """Return the processes of the ingress replicas."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ServeReplica:rradistill:Ingress" in " ".join(process.info["cmdline"] or [])
    ]
