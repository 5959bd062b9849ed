"""Scorers on workers: candidate lists in, scores out; and one that is timed alone, as it is served."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from actors.rows import CandidateList, records
from ranking.encoders import model_path
from ranking.errors import InputError
from ranking.evaluation.results import Latency, Machine, Parity, Size
from ranking.records import content
from ranking.registry import check_whole
from ranking.storage import Folder
from students import parity
from students.scoring import CARD, ClassifierScorer, Scorer

WARM_UP = 3


@dataclass(frozen=True)
class Model:
    """A model that scores pairs: a student's folder, or anything that is a sequence classifier. place: path, URI or hub id."""

    place: str
    max_length: int | None = None

    @property
    def folder(self) -> Folder | None:
        """Where its files are; None for a model of a hub or of a package."""
        return Folder(self.place) if "://" in self.place or Path(self.place).is_dir() else None

    def load(self) -> Scorer:
        """Load it. Raises InputError where it is no such model."""
        if self.folder is None:
            return ClassifierScorer(model_path(self.place), self.max_length, called=self.place)
        with tempfile.TemporaryDirectory() as local:
            place = Path(local) / "model"
            self.folder.copy_to(Folder(place))
            if (place / CARD).is_file():
                if self.max_length is not None:
                    raise InputError(f"model {self.place!r}: is a saved student, whose max_length is its own; leave it out")
                return Scorer(place)
            return ClassifierScorer(str(place), self.max_length, called=self.place)


def refusal(model: Model) -> str | None:
    """Why a model cannot be used, in a line; None where it can."""
    try:
        model.load()
    except InputError as error:
        return str(error)
    return None


def load_champion(model: Folder, checksum: str) -> Scorer:
    """Load a version of the registry. Raises InputError where a file is not the one that was promoted."""
    with tempfile.TemporaryDirectory() as local:
        place = Path(local) / "model"
        model.copy_to(Folder(place))
        check_whole(Folder(place), checksum)
        return Scorer(place)


class ListScorer:
    """Ray Data actor: candidate lists to {query_id, doc_ids, scores}, one row a query."""

    def __init__(self, model: Model) -> None:
        torch.set_num_threads(1)
        self.scorer = model.load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = []
        for row in records(batch, CandidateList):
            scores = self.scorer.score([(row.text, content(c.title, c.text)) for c in row.candidates])
            rows.append({"query_id": row.query_id, "doc_ids": [c.doc_id for c in row.candidates], "scores": scores})
        return pa.Table.from_pylist(rows)


@dataclass(frozen=True)
class Timed:
    """What a model is like to serve."""

    latency: Latency
    documents_per_second: float
    size: Size
    parity: Parity | None
    machine: Machine


class Stopwatch:
    """Ray actor: times a model alone on its machine, one query after another."""

    def __init__(self, replicas: int) -> None:
        """replicas: of the service, which share a machine's cores."""
        self.threads = max(1, (os.cpu_count() or 1) // replicas)
        torch.set_num_threads(self.threads)

    def time(self, model: Model, queries: Sequence[tuple[str, Sequence[str]]]) -> Timed:
        """Score each (query, documents) by itself, after some that do not count."""
        scorer = model.load()
        asked = [[(query, document) for document in documents] for query, documents in queries]
        for pairs in asked[:WARM_UP]:
            scorer.score(pairs)
        seconds = []
        for pairs in asked:
            began = time.perf_counter()
            scorer.score(pairs)
            seconds.append(time.perf_counter() - began)
        latency = Latency(p50=1000 * _quantile(seconds, 0.5), p95=1000 * _quantile(seconds, 0.95))
        size = Size(parameters=scorer.parameters, bytes=scorer.parameters * scorer.dtype.itemsize)
        return Timed(latency, sum(map(len, asked)) / sum(seconds), size, _parity_of(model), self._machine())

    def _machine(self) -> Machine:
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return Machine(processor=_processor(), cores=os.cpu_count() or 1, threads=self.threads, gpu=gpu)


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[max(0, -(-len(values) * share // 1).__int__() - 1)]


def _parity_of(model: Model) -> Parity | None:
    """Whether a student still scores as when it was saved; None for a model that is no student of ours."""
    if model.folder is None or not model.folder.exists(CARD):
        return None
    with tempfile.TemporaryDirectory() as local:
        model.folder.copy_to(Folder(local))
        found = parity.difference(Path(local))
    return Parity(difference=found, passed=found is not None and found <= parity.TOLERANCE)


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
