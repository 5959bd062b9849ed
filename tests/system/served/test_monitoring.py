"""The dashboard and the alerts, by a real Prometheus that watched labelling, training and serving."""

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
WITHOUT_CARDS = "ray_node_gpus_utilization"
SUDDEN = "label_seconds_bucket"
"""Quantiles over a time in which nothing was labelled are no number; what was counted is looked at by itself."""

MOVES = ("train_loss", "label_cost_total", "by (route, status)", "serve_documents_total", "exposures_total")
"""Of what is not zero in a dashboard's query. The facts are labelled within a second, so that their rates are."""


def queries():
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def has_data(found, query):
    """Whether there is a number, and one above zero of what moves."""
    if not any(found.values()):
        return False
    return not any(name in query for name in MOVES) or max(max(values) for values in found.values() if values) > 0


def test_every_query_of_the_dashboard_has_data(finished, service, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    asked = [query for query in queries() if WITHOUT_CARDS not in query and SUDDEN not in query]
    assert len(asked) > 20
    deadline = time.monotonic() + 60
    without = asked
    while without and time.monotonic() < deadline:
        for n in range(10):
            service.rerank(headers={"x-experiment-key": f"user-{n}"}).raise_for_status()
            service.client.post("/rerank", json={"query": "q", "texts": TEXTS}).raise_for_status()
        time.sleep(1)
        without = [
            query
            for query in without
            if not has_data(prometheus.values(query.replace("$__rate_interval", "20s")), query)
        ]
    assert not without


def test_what_was_labelled_is_counted(finished, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    for name in ("queries_total", "prompt_tokens_total", "seconds_count"):
        found = prometheus.values(f"sum(ray_rradistill_label_{name})")
        assert max(max(values) for values in found.values()) > 0, name


def test_prometheus_takes_the_rules_and_no_alert_is_about_what_went_well(finished, service, cluster):
    prometheus = Prometheus(cluster["PROMETHEUS"], cluster["BEGAN"])
    (group,) = prometheus.get("/api/v1/rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert not firing & {"LabellingStandsStill", "LossIsNoNumber"}  # other tests have queries rejected, and rightly so


def test_each_alert_fires_at_what_it_is_for():
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"], cwd=MONITORING, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = {
        line.split()[-1]
        for line in (MONITORING / "alerts.yml").read_text().splitlines()
        if line.strip().startswith("- alert:")
    }
    fired = (MONITORING / "alerts_test.yml").read_text()
    assert all(f"alertname: {name}\n        exp_alerts" in fired for name in named)
