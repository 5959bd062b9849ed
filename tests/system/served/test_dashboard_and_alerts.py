"""The dashboard and the alerts, checked with a Prometheus that scraped labelling, training and serving."""

import json
import subprocess
import time

import pytest

from tests.testing.prometheus import INSTALLED, MONITORING, Prometheus
from tests.testing.serving import TEXTS

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not INSTALLED, reason="Debian's prometheus is not installed"),
]
GPU_METRIC = "ray_node_gpus_utilization"
LABEL_LATENCY = "label_seconds_bucket"
"""Part of queries for latency quantiles. They are NaN while nothing is labelled; a separate test checks the count."""

POSITIVE = ("train_loss", "label_cost_total", "by (route, status)", "serve_documents_total", "exposures_total")
"""Queries that contain one of these must have a positive result. Other rates may be 0, as labelling takes under 1 s."""


def dashboard_queries():
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def has_data(series, query):
    """Return whether a query has values, at least one of them positive if the query must have a positive result."""
    if not any(series.values()):
        return False
    must_be_positive = any(name in query for name in POSITIVE)
    return not must_be_positive or max(max(values) for values in series.values() if values) > 0


def test_every_dashboard_query_has_data(finished, service, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    queries = [query for query in dashboard_queries() if GPU_METRIC not in query and LABEL_LATENCY not in query]
    assert len(queries) > 20
    deadline = time.monotonic() + 60
    without_data = queries
    while without_data and time.monotonic() < deadline:
        for n in range(10):
            service.rerank(headers={"x-experiment-key": f"user-{n}"}).raise_for_status()
            service.client.post("/rerank", json={"query": "q", "texts": TEXTS}).raise_for_status()
        time.sleep(1)
        without_data = [
            query
            for query in without_data
            if not has_data(prometheus.values(query.replace("$__rate_interval", "20s")), query)
        ]
    assert not without_data


def test_labelled_queries_are_counted(finished, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    for name in ("queries_total", "prompt_tokens_total", "seconds_count"):
        series = prometheus.values(f"sum(ray_rradistill_label_{name})")
        assert max(max(values) for values in series.values()) > 0, name


def test_rules_are_valid_and_no_alert_fires_without_a_problem(finished, service, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    (group,) = prometheus.get("/api/v1/rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert not firing & {"LabellingStalled", "TrainingLossNotFinite"}  # other tests cause rejected queries


def test_each_alert_has_a_rule_test_in_which_it_fires():
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"], cwd=MONITORING, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = {
        line.split()[-1]
        for line in (MONITORING / "alerts.yml").read_text().splitlines()
        if line.strip().startswith("- alert:")
    }
    rule_tests = (MONITORING / "alerts_test.yml").read_text()
    assert all(f"alertname: {name}\n        exp_alerts" in rule_tests for name in alerts)
