"""Serving as work to inject faults into. A client checks that responses have the right order and follow promotions."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from pathlib import Path

import httpx

from benchmarks.faults.campaign import Fault
from benchmarks.faults.job_work import ROOT, JobWork, job_command
from benchmarks.faults.storage_places import Place
from benchmarks.faults.victims import node_fault, process_fault
from ranking.registry import Registry
from ranking.registry_versions import verify_checksums
from ranking.storage.folder import Folder
from students.scoring import Scorer
from tools.local_cluster.nodes import LocalCluster, node_of
from tools.local_cluster.processes import find_processes
from tools.ports import free_ports

QUERY = "amber ridge north"
DOCUMENTS = ["amber ridge", "quartz ridge", "north marsh", "thorn", "cedar grove heron"]
_REPLICA = "ServeReplica:rradistill:Ingress"
_REQUEST_INTERVAL_SECONDS = 0.1
_TIMEOUT_SECONDS = 10.0
_MAX_SILENCE_SECONDS = 120.0
"""Maximum time without a response. Ray needs some time to notice a lost node and to start a replica on another."""


class ServingWork(JobWork):
    """Serving with two replicas and two versions.

    Args:
        cluster: Cluster to run on.
        settings: Run file.
        place: Storage place for the registry.
        models: Folders of the two versions by name. The first becomes champion.
        generator: Source of the times at which promotions are killed.
    """

    name, module = "serving", "ray_jobs.serve"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, models: dict[str, Path], generator: random.Random
    ) -> None:
        (port,) = free_ports(1)
        overrides = {
            "serving.port": port,
            "serving.replicas": 2,
            "serving.page": False,
            "serving.registry_poll_seconds": 0.5,
        }
        super().__init__(cluster, settings, place, overrides)
        self._generator = generator
        self._registry = Registry(place.folder)
        self._orders = {name: _order(model) for name, model in models.items()}
        (champion, champion_folder), (other, other_folder) = models.items()
        self._registry.promote(Folder(champion_folder), champion, "faults", "to be disturbed")
        self._registry.add(Folder(other_folder), other)
        self._client = _Client(f"http://127.0.0.1:{port}/v1/rerank", self._orders)
        self.faults = [
            process_fault("replica", cluster, _REPLICA),
            Fault("promotion", self._kill_promotion),
            process_fault("proxy", cluster, "ProxyActor"),
            node_fault(
                "node of a replica",
                cluster,
                lambda: node_of(cluster, next(iter(find_processes(cluster.mark, _REPLICA)), None)),
            ),
            process_fault("controller", cluster, "ServeController"),
            Fault("driver", self.kill_driver),
            process_fault("replica", cluster, _REPLICA),
            *place.faults,
        ]

    def start(self) -> None:
        """Start the service and the client."""
        super().start()
        self._client.start()

    def mark_progress(self) -> str:
        """Promote the other version and return its name."""
        other = next(name for name in self._orders if name != self._champion())
        return self._registry.promote_again(other, "faults").champion

    def has_progressed(self, mark: object) -> bool:
        """Return whether the promoted version responds."""
        return self._client.version == mark

    def done(self) -> bool:
        """Restart the service if it ended with an error. A service is never done."""
        super().done()
        return False

    def violations(self) -> list[str]:
        """Check that the champion is complete, and return the client's wrong responses."""
        state = self._registry.read()
        verify_checksums(self._registry.folder / state.champion, state.checksum)  # type: ignore[union-attr]
        return self._client.take_violations()

    def final_violations(self) -> list[str]:
        """Check the same invariants as during the campaign."""
        return self.violations()

    def finish(self) -> None:
        """Stop the client and the service."""
        self._client.stop()
        self.stop()

    def job_errors(self) -> list[str]:
        """Return errors of the service, and the number of failed requests, since the previous call."""
        failed = self._client.take_failed()
        return [*super().job_errors(), *([f"{failed} requests failed with one retry"] if failed else [])]

    def _champion(self) -> str:
        return self._registry.champion()[0].champion

    def _kill_promotion(self) -> bool:
        other = next(name for name in self._orders if name != self._champion())
        """Start a promotion and kill it after a random time."""
        storage = self._storage_place.folder.uri
        arguments = [*job_command("ray_jobs.promote", self._settings, storage=storage), "--to", other]
        environment = {**self._cluster.driver_environment, **self._storage_place.environment}
        process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(self._generator.uniform(0.5, 5))
        process.kill()
        process.wait()
        return True


class _Client:
    """Sends requests continuously in a thread, each with one retry, and checks the responses.

    Args:
        url: URL of the rerank endpoint.
        orders: Expected order of the documents by version.

    Attributes:
        version: Version of the last response.
    """

    def __init__(self, url: str, orders: dict[str, list[int]]) -> None:
        self._url, self._orders = url, orders
        self.version: str | None = None
        self._violations: list[str] = []
        self._failed = 0
        self._last_response_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start sending requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current request."""
        self._stop.set()
        self._thread.join()

    def take_violations(self) -> list[str]:
        """Return the wrong responses since the previous call."""
        violations, self._violations = self._violations, []
        return violations

    def take_failed(self) -> int:
        """Return the number of requests whose retry failed, since the previous call."""
        failed, self._failed = self._failed, 0
        return failed

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_SECONDS) as client:
            while not self._stop.wait(_REQUEST_INTERVAL_SECONDS):
                if not (self._send(client) or self._send(client)) and self._last_response_at is not None:
                    self._failed += 1

    def _send(self, client: httpx.Client) -> bool:
        """Send a request and check its response. Returns whether there is a response with status 200."""
        try:
            response = client.post(self._url, json={"query": QUERY, "documents": DOCUMENTS})
        except httpx.HTTPError:
            return False
        if response.status_code != 200:
            # a new proxy answers 404 until it knows the routes; a load balancer would not send it requests yet
            if response.status_code in (404, 429) or response.status_code >= 500:
                time.sleep(float(response.headers.get("retry-after", 0)))
            else:
                self._violations.append(f"status {response.status_code}: {response.text[:200]}")
            return False
        now, version = time.monotonic(), response.headers["x-model-version"]
        if self._last_response_at is not None and now - self._last_response_at > _MAX_SILENCE_SECONDS:
            self._violations.append(f"no response for {now - self._last_response_at:.0f} s")
        if [result["index"] for result in response.json()["results"]] != self._orders[version]:
            self._violations.append(f"not the order of version {version}: {json.dumps(response.json())}")
        self._last_response_at, self.version = now, version
        return True


def _order(model: Path) -> list[int]:
    """Return the indices of DOCUMENTS in the order of a version, best first."""
    scores = Scorer(model).score([(QUERY, text) for text in DOCUMENTS])
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))
