"""How fast what ranks is: students, cross-encoders of others, the pre-ranker, first stages and the teacher, each alone on its machine."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from actors.data.rows import FUSED, CandidateList
from actors.retrieval.candidate_lists import CandidateRetriever
from actors.retrieval.pre_ranking import PreRanker
from actors.retrieval.retrievers import Retriever, RunRetriever
from actors.scoring.scorers import Model
from actors.serving.settings import ServingSettings
from ranking.evaluation.results import Latency, Machine, Parity, Size
from ranking.records import Query, content
from ranking.retrieval.fusion import reciprocal_rank_fusion
from ranking.settings import CandidateSettings, PreRankerSettings
from ranking.storage.folder import Folder
from students import parity
from students.scoring import CARD

WARM_UP = 3
T = TypeVar("T")


@dataclass(frozen=True)
class MeasuredLatency:
    """What something that ranks is like to wait for. documents_per_second: None for a first stage, which searches."""

    latency: Latency
    documents_per_second: float | None = None
    size: Size | None = None
    parity: Parity | None = None


class LatencyProbe:
    """Ray actor: times what ranks, alone on its machine, one query after another, after some that do not count."""

    def __init__(self, serving: ServingSettings) -> None:
        """serving: of the service, whose replicas share a machine's cores."""
        self.threads = serving.threads
        torch.set_num_threads(self.threads)

    def time(self, model: Model, lists: Sequence[CandidateList]) -> MeasuredLatency:
        """Score each list by itself."""
        scorer = model.load()
        pairs = [[(row.text, content(c.title, c.text)) for c in row.candidates] for row in lists]
        seconds = seconds_of(scorer.score, pairs)
        size = Size(parameters=scorer.parameters, bytes=scorer.parameters * scorer.dtype.itemsize)
        return MeasuredLatency(latency_of(seconds), rate_of(seconds, lists), size, _parity_of(model))

    def time_pre_ranker(
        self, memory: Folder, settings: PreRankerSettings, lists: Sequence[CandidateList]
    ) -> MeasuredLatency:
        """Order each list: the query is encoded, the documents' vectors are there."""
        ranker = PreRanker(memory, settings)
        ranker.vectors.of(
            [content(c.title, c.text) for row in lists for c in row.candidates]
            + ["any text, so that the encoder is loaded"]
        )
        torch.set_num_threads(self.threads)
        seconds = seconds_of(lambda row: ranker.scores(_unseen(row.text, 1), row.candidates), lists)
        return MeasuredLatency(latency_of(seconds), rate_of(seconds, lists))

    def time_first_stages(
        self, index: Folder, memory: Folder, settings: CandidateSettings, texts: Sequence[str]
    ) -> dict[str, MeasuredLatency]:
        """Search for each query: every retriever, and all of them for the fused list. Lists that were imported are left out."""
        stage = CandidateRetriever(index, memory, settings)
        own = {
            name: retriever for name, retriever in stage.retrievers.items() if not isinstance(retriever, RunRetriever)
        }
        found = {}
        for place, (name, retriever) in enumerate(own.items(), start=1):
            retriever.search([Query(query_id="", text="any text, so that an encoder is loaded")], 1)
            torch.set_num_threads(self.threads)
            queries = [Query(query_id="", text=_unseen(text, place)) for text in texts]
            search = partial(_search, retriever, settings.depth)
            found[name] = MeasuredLatency(latency_of(seconds_of(search, queries)))
        if 1 < len(own) == len(stage.retrievers):
            queries = [Query(query_id="", text=_unseen(text, len(own) + 1)) for text in texts]
            search = partial(_search_all, stage)
            found[FUSED] = MeasuredLatency(latency_of(seconds_of(search, queries)))
        return found

    def machine(self) -> Machine:
        """Where this is."""
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return Machine(processor=_processor(), cores=os.cpu_count() or 1, threads=self.threads, gpu=gpu)


def _search(retriever: Retriever, depth: int, query: Query) -> None:
    retriever.search([query], depth)


def _search_all(stage: CandidateRetriever, query: Query) -> None:
    reciprocal_rank_fusion(*stage.found([query]), stage.depth)


def counted(asked: Sequence[T]) -> Sequence[T]:
    """Those of which the time counts: all behind the first few, as what was done once may be remembered; all where there are no more."""
    return asked[WARM_UP:] or asked


def seconds_of(work: Callable[[T], object], asked: Sequence[T]) -> list[float]:
    """Time something on one after another of those that count, after the others."""
    for one in asked[:WARM_UP]:
        work(one)
    seconds = []
    for one in counted(asked):
        began = time.perf_counter()
        work(one)
        seconds.append(time.perf_counter() - began)
    return seconds


def latency_of(seconds: Sequence[float]) -> Latency:
    """Median and 95th percentile."""
    return Latency(p50=1000 * _quantile(seconds, 0.5), p95=1000 * _quantile(seconds, 0.95))


def rate_of(seconds: Sequence[float], lists: Sequence[CandidateList]) -> float:
    """Documents a second. seconds: of `lists`, as `seconds_of` gives them."""
    return sum(len(row.candidates) for row in counted(lists)) / sum(seconds)


def _unseen(text: str, spaces: int) -> str:
    """The same words for an encoder, and a text that no memory of vectors holds."""
    return text + " " * spaces


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
