"""Shadow and interleaving against a running service, and replicas that come with the load."""

import concurrent.futures
import time

import httpx
import psutil
import pytest

from benchmarks.faults.processes import wait_until
from ranking.ab_test.arm_assignment import team_draft
from tests.testing.metrics import settled
from tests.testing.serving import TEXTS, Service, order

pytestmark = pytest.mark.timeout(600)
TRAFFIC = {"challenger": "b", "experiment": "modes", "share": 1.0}


@pytest.fixture
def service_with(cluster, collection, tmp_path):
    """Makes a service with settings of its own."""
    held = []

    def make(**settings):
        held.append(Service(tmp_path, cluster, collection, page=False, **settings))
        return held[-1]

    yield make
    for service in held:
        service.close()


def test_a_service_goes_on_without_its_driver_and_the_next_call_takes_it_over(service_with, tmp_path):
    service = service_with()
    service.process.kill()
    service.process.wait()
    assert service.rerank().headers["x-model-version"] == "a"
    with (tmp_path / "said").open("w") as said:
        service.start(said)
    assert wait_until(lambda: "stop with Ctrl-C" in (tmp_path / "said").read_text(), 300)
    assert "runs on this cluster already" in (tmp_path / "said").read_text()
    assert service.rerank().status_code == 200
    service.process.terminate()
    assert service.process.wait(timeout=60) == 0
    with pytest.raises(httpx.ConnectError):
        service.rerank()


def asked(service, count):
    """Answers to callers with keys of their own, one after another."""
    return [service.rerank(headers={"x-experiment-key": f"user-{n}"}, top_n=4) for n in range(count)]


def test_a_challenger_in_shadow_scores_what_the_champion_answered(service_with, cluster):
    service = service_with(traffic={**TRAFFIC, "mode": "shadow"})
    orders = {name: order(service.scores(name)) for name in "ab"}
    answers = asked(service, 8)
    for answer in answers:
        assert answer.headers["x-model-version"] == "a"
        assert [one["index"] for one in answer.json()["results"]] == orders["a"][:4]
    rows = service.exposures([answer.headers["x-exposure-id"] for answer in answers])
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
    assert settled(cluster["METRICS"], len(shadowed), name, 'outcome="scored"') == len(shadowed)


def test_both_orders_in_one_and_another_replica_where_there_is_more_to_do(service_with):
    service = service_with(
        traffic={**TRAFFIC, "mode": "interleave"}, max_replicas=2, limits={"max_requests_per_key": 64}
    )
    orders = [order(service.scores(name)) for name in "ab"]
    answers = asked(service, 8)
    for answer, row in zip(
        answers, service.exposures([answer.headers["x-exposure-id"] for answer in answers]), strict=True
    ):
        drafted, teams = team_draft(*orders, row.exposure_id)
        assert [one["index"] for one in answer.json()["results"]] == drafted[:4]
        assert (row.arm, row.version, row.teams) == ("interleaved", "a+b", teams[:4])
    deadline = time.monotonic() + 180

    def ask(_):
        while len(replicas()) < 2 and time.monotonic() < deadline:
            service.rerank(TEXTS * 20).raise_for_status()

    assert len(replicas()) == 1
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    assert len(replicas()) == 2


def replicas():
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if "ServeReplica:rradistill:Ingress" in " ".join(one.info["cmdline"] or [])
    ]
