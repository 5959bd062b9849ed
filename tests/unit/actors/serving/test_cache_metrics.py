"""The metrics of the caches: values by tag, and the queries of the dashboard."""

import json
import re
from pathlib import Path

import pytest

from actors.serving import service_metrics
from actors.serving.caches.bounded_cache import CacheSize
from actors.serving.caches.lookups import Lookups
from actors.serving.service_metrics import CacheMetrics

DASHBOARD = Path(__file__).parents[4] / "deploy/monitoring/dashboard.json"


class Recorded:
    """Replaces the metrics of Ray, which need a cluster: adds up counters, keeps the last value of gauges."""

    values: dict = {}

    def __init__(self, name, description, tag_keys=()):
        self.name, self.tag_keys = name, tag_keys

    def inc(self, value, tags):
        assert set(tags) == set(self.tag_keys)
        place = (self.name, *tags.values())
        self.values[place] = self.values.get(place, 0) + value

    def set(self, value, tags):
        self.values[self.name, *tags.values()] = value


@pytest.fixture
def values(monkeypatch):
    monkeypatch.setattr(Recorded, "values", {})
    monkeypatch.setattr(service_metrics, "Counter", Recorded)
    monkeypatch.setattr(service_metrics, "Gauge", Recorded)
    return Recorded.values


@pytest.mark.usefixtures("values")
def test_lookups_evictions_and_bytes_are_exported():
    metrics = CacheMetrics("scores")
    metrics.record_lookups(Lookups(hit=3, miss=2, shared=1), CacheSize(500, 4))
    metrics.record_lookups(Lookups(hit=5), CacheSize(400, 7))
    prefix = "rradistill_serve_cache"
    assert {place: round(value, 6) for place, value in Recorded.values.items()} == {
        (f"{prefix}_lookups", "scores", "hit"): 8,
        (f"{prefix}_lookups", "scores", "miss"): 2,
        (f"{prefix}_lookups", "scores", "shared"): 1,
        (f"{prefix}_evictions", "scores"): 7,
        (f"{prefix}_bytes", "scores"): 400,
    }


def test_dashboard_shows_the_metrics_of_the_caches():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel.get("targets", []))
    shown = set(re.findall(r"ray_rradistill_serve_cache_\w+", queries))
    assert shown == {f"ray_rradistill_serve_cache_{name}" for name in ("lookups_total", "evictions_total", "bytes")}
    assert len({panel["id"] for panel in panels}) == len(panels)
