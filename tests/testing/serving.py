"""Run a service with two untrained students, for system tests."""

import functools
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from ranking.ab_test.exposure_records import EXPOSURES, SERVING, Exposure
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.scoring import Scorer
from tests.testing.facts import FACTS, ROOT
from tools.ports import free_ports
from tools.untrained_student import untrained_student

TEXTS = [text for _, text in FACTS]
QUERY = "why does dough get bigger"


@functools.cache
def _temporary_folder():
    return tempfile.TemporaryDirectory(prefix="students-")


@functools.cache
def shared_student(name, seed):
    """Return a student that all services of the test session share. Tests must not change it."""
    return untrained_student(Path(_temporary_folder().name) / name, seed)


class Service:
    """A running service. Version `a` is the champion. Version `b` is the challenger of half of the experiment keys."""

    def __init__(self, folder, cluster, collection, **serving):
        """Start the service and wait until it is ready.

        Args:
            folder: Folder for the storage root, the key file and the journals.
            cluster: Environment variables that select the Ray cluster.
            collection: BEIR folder of the collection that the demo page searches.
            **serving: Values that replace settings of `serving`.
        """
        self.storage = Folder(folder / "storage")
        self.registry = Registry(self.storage)
        self.models = {name: shared_student(name, seed) for name, seed in (("a", 1), ("b", 2))}
        self.registry.promote(self.models["a"], "a", "test", "champion of the test")
        self.registry.add(self.models["b"], "b")
        self.keys = folder / "keys"
        self.write_keys("secret")
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "run": "served",
            "storage": self.storage.uri,
            "collection.source": f"beir:{collection}",
            "candidates.retrievers": '[{"kind": "bm25"}]',
            "pre_ranker": "null",
            "serving.port": self.port,
            "serving.keys": self.keys,
            "serving.registry_poll_seconds": 0.5,
            "serving.limits.max_body_bytes": 500_000,
            "serving.limits.max_requests_per_key": 12,
            "serving.traffic": json.dumps({"challenger": "b", "experiment": "first"}),
            "serving.record": json.dumps({"exposures": True, "flush_seconds": 1}),
            **{f"serving.{name}": json.dumps(value) for name, value in serving.items()},
        }
        self.arguments = [
            "configs/collection.yaml",
            *(str(part) for k, v in settings.items() for part in (f"--{k}", v)),
        ]
        self.environment = {**cluster, "PYTHONUNBUFFERED": "1", "RRADISTILL_JOURNALS": str(folder / "journals")}
        if serving.get("page", True):
            self.run("ray_jobs.index")
        self.start()
        self.client = httpx.Client(base_url=self.url, headers={"authorization": "Bearer secret"}, timeout=60)
        self.wait()

    def write_keys(self, *keys):
        """Replace the keys that the service accepts."""
        self.keys.write_text(
            "".join(f"caller-{n} {hashlib.sha256(key.encode()).hexdigest()}\n" for n, key in enumerate(keys))
        )

    def run(self, module):
        """Run a job with the settings of the service."""
        subprocess.run(
            [sys.executable, "-m", module, *self.arguments], cwd=ROOT, env=self.environment, check=True, timeout=300
        )

    def start(self, stdout=None):
        """Start the driver process. Can be called again after the process has ended."""
        call = [sys.executable, "-m", "ray_jobs.serve", *self.arguments]
        self.process = subprocess.Popen(call, cwd=ROOT, env=self.environment, stdout=stdout)

    def wait(self):
        """Wait up to 240 s until the models are loaded."""
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            assert self.process.poll() is None
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError("the service was not ready within 240 s")

    def rerank(self, texts=TEXTS, query=QUERY, headers=None, **fields):
        """Send a request to /v1/rerank, with additional fields, and return the response."""
        return self.client.post(
            "/v1/rerank", json={"query": query, "documents": texts, **fields}, headers=headers or {}
        )

    def exposures(self, ids):
        """Wait up to 30 s until the exposures with these ids are in storage, and return them."""
        folder, deadline, rows = self.storage / SERVING / EXPOSURES, time.monotonic() + 30, {}
        while not set(ids) <= rows.keys() and time.monotonic() < deadline:
            time.sleep(0.5)
            rows = {row.exposure_id: row for row in folder.read_rows(Exposure)} if folder.exists() else {}
        return [rows[exposure_id] for exposure_id in ids]

    def close(self):
        """Stop the service."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)

    def scores(self, name="a", texts=TEXTS, query=QUERY):
        """Return the raw scores of a saved model, computed without the service."""
        return Scorer(self.models[name].path).score([(query, text) for text in texts])


def order(scores):
    """Return the indices that sort the scores, best first. Ties keep their order."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))
