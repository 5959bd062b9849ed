"""Run Debian's Prometheus against the cluster of the tests, and query it."""

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
_STEP_SECONDS = 2


@contextmanager
def watching(metrics, folder):
    """Run Prometheus with the project's configuration and shorter intervals.

    Args:
        metrics: host:port of the node's metrics.
        folder: Folder for the configuration and the data.

    Yields:
        The address of Prometheus; an empty string if it is not installed.
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
    """Client for the HTTP API of a Prometheus server.

    Queries cover the time from `start`, in seconds since 1970, to now.
    """

    def __init__(self, address, start):
        self.address, self.start = address, start

    def values(self, query):
        """Return the values of a query, by series, without NaN."""
        parameters = {"query": query, "start": self.start, "end": time.time(), "step": _STEP_SECONDS}
        result = self.get(f"/api/v1/query_range?{urllib.parse.urlencode(parameters)}")["result"]
        return {
            json.dumps(series["metric"], sort_keys=True): [
                float(value) for _, value in series["values"] if value != "NaN"
            ]
            for series in result
        }

    def get(self, path):
        """Send a request to a path and return the data of the response."""
        with urllib.request.urlopen(self.address + path, timeout=30) as response:
            return json.load(response)["data"]
