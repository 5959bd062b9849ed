"""Measure the latency of students, cross-encoders, the pre-ranker, first stages and the teacher, one after another."""

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

from actors.retrieval.candidate_lists import CandidateRetriever
from actors.retrieval.pre_ranking import PreRanker
from actors.retrieval.retrievers import Retriever, RunRetriever
from actors.scoring.scorers import Model
from actors.serving.serving_settings import ServingSettings
from ranking.evaluation.results import Latency, Machine, Parity, Size
from ranking.passage_settings import PassageSettings
from ranking.records import FUSED, CandidateList, Query, content
from ranking.settings import CandidateSettings, PreRankerSettings
from ranking.storage.folder import Folder
from students import parity
from students.passage_splitting import score_documents
from students.scoring import CONFIG_FILE

WARM_UP = 3
"""Number of calls before the measured ones. Their time does not count."""

_WARM_UP_TEXT = "any text, to load the encoder"

T = TypeVar("T")


@dataclass(frozen=True)
class MeasuredLatency:
    """Latency of one system.

    Attributes:
        latency: Median and 95th percentile per query, in milliseconds.
        documents_per_second: Throughput; None for a first stage, which searches instead of scoring documents.
        size: Parameters and bytes of a model; None for other systems.
        parity: Result of a student's parity check; None for other systems.
    """

    latency: Latency
    documents_per_second: float | None = None
    size: Size | None = None
    parity: Parity | None = None


class LatencyProbe:
    """Ray actor that measures the latency of systems on one machine, one query at a time, after warm-up queries."""

    def __init__(self, serving: ServingSettings) -> None:
        """Set the number of threads to that of one replica of the re-ranking service.

        Args:
            serving: Settings of the service. Its replicas share the cores of a machine.
        """
        self.threads = serving.threads
        torch.set_num_threads(self.threads)

    def time(self, model: Model, lists: Sequence[CandidateList]) -> MeasuredLatency:
        """Measure the latency of a model, one candidate list at a time."""
        scorer = model.load()
        texts = [(row.text, [(c.title, c.text) for c in row.candidates]) for row in lists]
        seconds = measure_seconds(lambda row: score_documents(scorer, *row), texts)
        size = Size(parameters=scorer.parameters, bytes=scorer.weight_bytes)
        return MeasuredLatency(
            latency_percentiles(seconds), documents_per_second(seconds, lists), size, _parity_of(model)
        )

    def time_pre_ranker(
        self,
        cache: Folder,
        settings: PreRankerSettings,
        lists: Sequence[CandidateList],
        passages: PassageSettings | None = None,
    ) -> MeasuredLatency:
        """Measure the latency of the pre-ranker. Each call encodes the query; the document embeddings are cached.

        With passages, each call also splits the documents.

        Args:
            cache: Folder of the embedding cache.
            settings: Settings of the pre-ranker.
            lists: Candidate lists to order, one at a time.
            passages: Size and number of the passages. None scores whole documents.
        """
        ranker = PreRanker(cache, settings, passages=passages)
        for row in lists if passages else []:
            ranker.scores(row.text, row.candidates)
        ranker.vectors.of([content(c.title, c.text) for row in lists for c in row.candidates] + [_WARM_UP_TEXT])
        torch.set_num_threads(self.threads)
        seconds = measure_seconds(lambda row: ranker.scores(_append_spaces(row.text, 1), row.candidates), lists)
        return MeasuredLatency(latency_percentiles(seconds), documents_per_second(seconds, lists))

    def time_first_stages(
        self, index: Folder, cache: Folder, settings: CandidateSettings, texts: Sequence[str]
    ) -> dict[str, MeasuredLatency]:
        """Measure the search latency of each retriever, and of all retrievers with rank fusion.

        Skips imported lists, which are read from a file and not searched, and search engines, whose latency is not
        that of this machine.

        Args:
            index: Folder of the indexes.
            cache: Folder of the embedding cache.
            settings: Settings of the first stages.
            texts: Queries to search for, one at a time.

        Returns:
            {first stage: latency}. The fused list is only measured if there are at least two retrievers and none of
            them is skipped.
        """
        stage = CandidateRetriever(index, cache, settings.without_engines())
        searched = {
            name: retriever for name, retriever in stage.retrievers.items() if not isinstance(retriever, RunRetriever)
        }
        measured = {}
        for spaces, (name, retriever) in enumerate(searched.items(), start=1):
            retriever.search([Query(query_id="", text=_WARM_UP_TEXT)], 1)
            torch.set_num_threads(self.threads)
            queries = [Query(query_id="", text=_append_spaces(text, spaces)) for text in texts]
            search = partial(_search, retriever, settings.depth)
            measured[name] = MeasuredLatency(latency_percentiles(measure_seconds(search, queries)))
        if 1 < len(searched) == len(settings.retrievers):
            queries = [Query(query_id="", text=_append_spaces(text, len(searched) + 1)) for text in texts]
            search = partial(_search_all, stage)
            measured[FUSED] = MeasuredLatency(latency_percentiles(measure_seconds(search, queries)))
        return measured

    def machine(self) -> Machine:
        """Describe the machine that this actor runs on."""
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return Machine(processor=_processor(), cores=os.cpu_count() or 1, threads=self.threads, gpu=gpu)


def _search(retriever: Retriever, depth: int, query: Query) -> None:
    retriever.search([query], depth)


def _search_all(stage: CandidateRetriever, query: Query) -> None:
    (found,) = stage.retrieve([query])
    found.fused(stage.depth)


def without_warm_up(inputs: Sequence[T]) -> Sequence[T]:
    """Drop the warm-up inputs, unless there are no others."""
    return inputs[WARM_UP:] or inputs


def measure_seconds(work: Callable[[T], object], inputs: Sequence[T]) -> list[float]:
    """Call `work` on the warm-up inputs, then on one input at a time. Returns the seconds of each measured call."""
    for warm_up in inputs[:WARM_UP]:
        work(warm_up)
    seconds = []
    for measured in without_warm_up(inputs):
        start = time.perf_counter()
        work(measured)
        seconds.append(time.perf_counter() - start)
    return seconds


def latency_percentiles(seconds: Sequence[float]) -> Latency:
    """Return median and 95th percentile in milliseconds."""
    return Latency(p50=1000 * _quantile(seconds, 0.5), p95=1000 * _quantile(seconds, 0.95))


def documents_per_second(seconds: Sequence[float], lists: Sequence[CandidateList]) -> float:
    """Return the throughput over all lists except the warm-up lists.

    Args:
        seconds: Result of `measure_seconds` for `lists`.
        lists: All lists, warm-up included.
    """
    return sum(len(row.candidates) for row in without_warm_up(lists)) / sum(seconds)


def _append_spaces(text: str, spaces: int) -> str:
    """Append spaces, so the encoder reads the same words but the embedding cache does not contain the text."""
    return text + " " * spaces


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is greater than or equal to a fraction `share` of all values."""
    return sorted(values)[max(0, -(-len(values) * share // 1).__int__() - 1)]


def _parity_of(model: Model) -> Parity | None:
    """Compare a student's scores of probe pairs with the saved scores. None for a model that is not a student."""
    if model.folder is None or not model.folder.exists(CONFIG_FILE):
        return None
    with tempfile.TemporaryDirectory() as local:
        model.folder.copy_to(Folder(local))
        difference, passed = parity.is_passed(Path(local))
    return Parity(difference=difference, passed=passed)


def _processor() -> str:
    """Return the processor's name as the operating system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
