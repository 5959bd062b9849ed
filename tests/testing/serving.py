"""A service of two made students, for the tests that ask it."""

import functools
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import torch

from ranking.ab_test.exposure_records import EXPOSURES, SERVING, Exposure
from ranking.model_paths import model_path
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students import export, kinds
from students.scoring import Scorer
from students.settings import RraBertSettings
from tests.testing.facts import FACTS, QUESTIONS, ROOT
from tools.ports import free_ports

TEXTS = [text for _, text in FACTS]
QUERY = "why does dough get bigger"
PAIRS = [(query, text) for (_, query, _), text in zip(QUESTIONS, TEXTS, strict=True)]


def student(folder, seed):
    """A plain classifier with a random head, which spreads its scores."""
    settings = RraBertSettings(base="minilm", max_length=64)
    torch.manual_seed(seed)
    model = kinds.build(settings, model_path("minilm")).eval()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=1.0)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, folder, PAIRS)
    return Folder(folder)


@functools.cache
def _models():
    return tempfile.TemporaryDirectory(prefix="students-")


@functools.cache
def made(name, seed):
    """The same student for every service of these tests, which do not change it."""
    return student(Path(_models().name) / name, seed)


class Service:
    """A service of two versions, a and b: a is the champion, b has half of the keys. more: settings of `serving`."""

    def __init__(self, place, cluster, collection, **more):
        self.storage = Folder(place / "storage")
        self.registry = Registry(self.storage)
        self.models = {name: made(name, seed) for name, seed in (("a", 1), ("b", 2))}
        self.registry.promote(self.models["a"], "a", "made", "for this test")
        self.registry.add(self.models["b"], "b")
        self.keys = place / "keys"
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
            **{f"serving.{name}": json.dumps(value) for name, value in more.items()},
        }
        self.given = ["configs/collection.yaml", *(str(part) for k, v in settings.items() for part in (f"--{k}", v))]
        self.environment = {**cluster, "PYTHONUNBUFFERED": "1", "RRADISTILL_JOURNALS": str(place / "journals")}
        if more.get("page", True):
            self.run("ray_jobs.index")
        self.start()
        self.client = httpx.Client(base_url=self.url, headers={"authorization": "Bearer secret"}, timeout=60)
        self.wait()

    def write_keys(self, *keys):
        self.keys.write_text(
            "".join(f"caller-{n} {hashlib.sha256(key.encode()).hexdigest()}\n" for n, key in enumerate(keys))
        )

    def run(self, module):
        subprocess.run(
            [sys.executable, "-m", module, *self.given], cwd=ROOT, env=self.environment, check=True, timeout=300
        )

    def start(self, stdout=None):
        """Start the driver; called again, where the one before is gone."""
        call = [sys.executable, "-m", "ray_jobs.serve", *self.given]
        self.process = subprocess.Popen(call, cwd=ROOT, env=self.environment, stdout=stdout)

    def wait(self):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            assert self.process.poll() is None
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError("the service was not ready in time")

    def rerank(self, texts=TEXTS, query=QUERY, headers=None, **more):
        return self.client.post("/v1/rerank", json={"query": query, "documents": texts, **more}, headers=headers or {})

    def exposures(self, ids):
        """What was recorded of answers, by their ids, once all of it is on storage."""
        place, deadline, rows = self.storage / SERVING / EXPOSURES, time.monotonic() + 30, {}
        while not set(ids) <= rows.keys() and time.monotonic() < deadline:
            time.sleep(0.5)
            rows = {row.exposure_id: row for row in place.read_rows(Exposure)} if place.exists() else {}
        return [rows[one] for one in ids]

    def close(self):
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)

    def scores(self, name="a", texts=TEXTS, query=QUERY):
        return Scorer(self.models[name].path).score([(query, text) for text in texts])


def order(scores):
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))
