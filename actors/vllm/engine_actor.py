"""Base class of the teachers that run a vLLM engine and label many candidate lists concurrently."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.cluster.placement import EnginePool, teacher_engines
from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, rejection_outcome, table_of
from actors.teachers.label_metrics import LabellingMetrics
from actors.vllm.crash_log import CrashLog
from ranking.records import Label, PreRankedList
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_CONCURRENT_BATCHES = 16


class EngineActor(ABC):
    """Ray Data actor that labels candidate lists with its own engine, many lists at once to keep the engine busy.

    Args:
        model: Name of the model, for metrics.
        compute: Compute settings.
        folder: Folder of the teacher's cache and crash log.

    Raises:
        RuntimeError: Engines crashed too often since the last answer.
    """

    def __init__(self, model: str, compute: ComputeSettings, folder: Folder) -> None:
        self.metrics = LabellingMetrics(model, compute)
        self.crash_log = CrashLog(folder)
        self.crash_log.check()

    @abstractmethod
    async def outcome(self, row: PreRankedList) -> Outcome[Label]:
        """Label one list, which has at least one candidate."""

    @abstractmethod
    async def flush(self) -> None:
        """Write new cache entries to storage. Called before the outcomes that depend on them leave the actor."""

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Label a batch with rows of PreRankedList. Returns rows of Outcome[Label], one per list."""
        outcomes = await asyncio.gather(*(self._measure(row) for row in records(batch, PreRankedList)))
        await self.flush()
        return table_of(outcomes, Outcome[Label])

    async def _measure(self, row: PreRankedList) -> Outcome[Label]:
        with self.metrics.measure_query():
            outcome = await self.outcome(row) if row.picked else rejection_outcome(row, "no candidates to rank")
        self.metrics.count(outcome)
        return outcome


def through_teachers(
    lists: Dataset, actor: type[EngineActor], arguments: tuple[Any, ...], compute: ComputeSettings
) -> Dataset:
    """Stream candidate lists through a pool of teacher actors, each with its own engine.

    Args:
        lists: Rows of PreRankedList.
        actor: Class of the teacher actors.
        arguments: Constructor arguments of the class.
        compute: Compute settings.

    Returns:
        Rows of Outcome[Label].
    """
    return through_engines(lists, actor, arguments, teacher_engines(compute))


def through_engines(rows: Dataset, actor: type[Any], arguments: tuple[Any, ...], engines: EnginePool) -> Dataset:
    """Stream rows through an autoscaling pool of actors, each with its own engine and several concurrent batches."""
    import ray.data

    pool = ray.data.ActorPoolStrategy(
        min_size=engines.min_engines,
        max_size=engines.engines,
        initial_size=engines.min_engines,
        max_tasks_in_flight_per_actor=_CONCURRENT_BATCHES,
        max_concurrent_calls_per_actor=_CONCURRENT_BATCHES,
    )
    return rows.map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_format="pyarrow",
        batch_size=None,
        compute=pool,
        **engines.placement.options,
    )
