"""The service as work to disturb: asked all the time, it answers in the order of the champion, and follows promotions."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from pathlib import Path

import httpx

from benchmarks.faults.campaign import Fault
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.jobs import ROOT, JobWork, command
from benchmarks.faults.storage_places import Place
from benchmarks.faults.processes import called
from benchmarks.faults.victims import node_fault, node_of, process_fault
from ranking.registry import Registry, check_whole
from ranking.storage.folder import Folder
from students.scoring import Scorer
from tools.ports import free_ports

QUERY = "amber ridge north"
DOCUMENTS = ["amber ridge", "quartz ridge", "north marsh", "thorn", "cedar grove heron"]
_REPLICA = "ServeReplica:rradistill:Ingress"
_PAUSE = 0.1
_PATIENCE = 10.0
_SILENT = 120.0
"""Seconds without any answer that are wrong: a node has to be missed and a replica started elsewhere."""


class Serving(JobWork):
    """models: two versions by name. The registry of the place takes both."""

    name, module = "serving", "ray_jobs.serve"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, models: dict[str, Path], drawn: random.Random
    ) -> None:
        (port,) = free_ports(1)
        given = {
            "serving.port": port,
            "serving.replicas": 2,
            "serving.page": False,
            "serving.registry_poll_seconds": 0.5,
        }
        super().__init__(cluster, settings, place, given)
        self._drawn = drawn
        self._registry = Registry(place.folder)
        self._orders = {name: _order(model) for name, model in models.items()}
        (first, one), (other, two) = models.items()
        self._registry.promote(Folder(one), first, "faults", "to be disturbed")
        self._registry.add(Folder(two), other)
        self._asker = _Asker(f"http://127.0.0.1:{port}/v1/rerank", self._orders)
        self.faults = [
            process_fault("replica", cluster, _REPLICA),
            Fault("promotion", self._kill_promotion),
            process_fault("proxy", cluster, "ProxyActor"),
            node_fault(
                "node of a replica", cluster, lambda: node_of(cluster, next(iter(called(cluster.mark, _REPLICA)), None))
            ),
            process_fault("controller", cluster, "ServeController"),
            Fault("driver", self.kill_driver),
            process_fault("replica", cluster, _REPLICA),
            *place.faults,
        ]

    def start(self) -> None:
        super().start()
        self._asker.start()

    def mark(self) -> str:
        """Promotes the other version; returns it."""
        other = next(name for name in self._orders if name != self._champion())
        return self._registry.promote_again(other, "faults").champion

    def moved(self, mark: object) -> bool:
        """Whether the version is what answers."""
        return self._asker.version == mark

    def done(self) -> bool:
        super().done()
        return False

    def wrong_now(self) -> list[str]:
        held = self._registry.read()
        check_whole(self._registry.folder / held.champion, held.checksum)  # type: ignore[union-attr]
        return self._asker.wrong()

    def wrong_at_the_end(self) -> list[str]:
        return self.wrong_now()

    def finish(self) -> None:
        self._asker.stop()
        self.stop()

    def heard(self) -> list[str]:
        failed = self._asker.failed()
        return [*super().heard(), *([f"{failed} requests failed with one retry"] if failed else [])]

    def _champion(self) -> str:
        return self._registry.champion()[0].champion

    def _kill_promotion(self) -> bool:
        other = next(name for name in self._orders if name != self._champion())
        call = [*command("ray_jobs.promote", self._settings, storage=self._at.folder.uri), "--to", other]
        environment = {**self._cluster.driver_environment, **self._at.environment}
        process = subprocess.Popen(
            call, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(self._drawn.uniform(0.5, 5))
        process.kill()
        process.wait()
        return True


class _Asker:
    """A client that asks all the time, and once more where it gets no answer. version: of the last answer."""

    def __init__(self, url: str, orders: dict[str, list[int]]) -> None:
        self._url, self._orders = url, orders
        self.version: str | None = None
        self._wrong: list[str] = []
        self._failed = 0
        self._answered: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wrong(self) -> list[str]:
        """What was wrong since the last time."""
        wrong, self._wrong = self._wrong, []
        return wrong

    def failed(self) -> int:
        """Requests that failed twice since the last time."""
        failed, self._failed = self._failed, 0
        return failed

    def _run(self) -> None:
        with httpx.Client(timeout=_PATIENCE) as client:
            while not self._stop.wait(_PAUSE):
                if not (self._ask(client) or self._ask(client)) and self._answered is not None:
                    self._failed += 1

    def _ask(self, client: httpx.Client) -> bool:
        try:
            answer = client.post(self._url, json={"query": QUERY, "documents": DOCUMENTS})
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            # 404 is of a proxy that has just come and knows no routes; behind a load balancer it would not be asked yet
            if answer.status_code in (404, 429) or answer.status_code >= 500:
                time.sleep(float(answer.headers.get("retry-after", 0)))
            else:
                self._wrong.append(f"answered {answer.status_code}: {answer.text[:200]}")
            return False
        now, version = time.monotonic(), answer.headers["x-model-version"]
        if self._answered is not None and now - self._answered > _SILENT:
            self._wrong.append(f"no answer for {now - self._answered:.0f} s")
        if [one["index"] for one in answer.json()["results"]] != self._orders[version]:
            self._wrong.append(f"not the order of version {version}: {json.dumps(answer.json())}")
        self._answered, self.version = now, version
        return True


def _order(model: Path) -> list[int]:
    scores = Scorer(model).score([(QUERY, text) for text in DOCUMENTS])
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))
