"""A Prometheus of Debian's package that watches the tests' cluster from its start."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

import yaml

from tests.testing.facts import ROOT
from tools.ports import free_ports

MONITORING = ROOT / "deploy" / "monitoring"
INSTALLED = shutil.which("prometheus") is not None
_STEP = 2


@contextmanager
def watching(metrics, folder):
    """Scrape a node with the project's own configuration, more often; yields its address, an empty one where it is not installed.

    metrics: host:port.
    """
    if not INSTALLED:
        yield ""
        return
    shutil.copy(MONITORING / "alerts.yml", folder)
    nodes = folder / "nodes.json"
    nodes.write_text(json.dumps([{"targets": [metrics]}]))
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "5s"}
    config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(nodes)]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    call = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(call, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


class Prometheus:
    """Its HTTP interface. began: from when on values are asked for."""

    def __init__(self, address, began):
        self.address, self.began = address, began

    def values(self, query):
        """All values of a query since the start, by series; those that are no number are left out."""
        given = {"query": query, "start": self.began, "end": time.time(), "step": _STEP}
        found = self.get(f"/api/v1/query_range?{urllib.parse.urlencode(given)}")["result"]
        return {
            json.dumps(one["metric"], sort_keys=True): [float(value) for _, value in one["values"] if value != "NaN"]
            for one in found
        }

    def get(self, path):
        """The data of an answer."""
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return json.load(answer)["data"]
