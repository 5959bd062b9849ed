"""What all teachers that run an engine share: lists in, outcomes out, many lists under way at once."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.cluster.placement import EnginePool, teacher_engines
from actors.data.rows import Outcome, PreRankedList, records, rejected, table_of
from actors.settings import ComputeSettings
from actors.teachers.label_metrics import LabellingMetrics
from actors.vllm.crash_log import CrashLog
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_BATCHES_UNDER_WAY = 16


class EngineActor(ABC):
    """Ray Data actor: lists to outcomes. Lists are under way side by side, so that the engine always has enough to do."""

    def __init__(self, model: str, compute: ComputeSettings, memory: Folder) -> None:
        self.metrics = LabellingMetrics(model, compute)
        self.deaths = CrashLog(memory)
        self.deaths.check()

    @abstractmethod
    async def outcome(self, row: PreRankedList) -> Outcome:
        """Label one list that has candidates."""

    @abstractmethod
    async def settle(self) -> None:
        """Write what was paid for, before the outcomes made from it leave."""

    async def __call__(self, batch: pa.Table) -> pa.Table:
        outcomes = await asyncio.gather(*(self._counted(row) for row in records(batch, PreRankedList)))
        await self.settle()
        return table_of(outcomes, Outcome)

    async def _counted(self, row: PreRankedList) -> Outcome:
        with self.metrics.list_under_way():
            outcome = await self.outcome(row) if row.picked else rejected(row, "no candidates to rank")
        self.metrics.count(outcome)
        return outcome


def through_teachers(
    lists: Dataset, actor: type[EngineActor], arguments: tuple[Any, ...], compute: ComputeSettings
) -> Dataset:
    """Stream lists through a pool of teachers, each with an engine. lists: rows of PreRankedList. Returns rows of Outcome."""
    return through_engines(lists, actor, arguments, teacher_engines(compute))


def through_engines(rows: Dataset, actor: type[Any], arguments: tuple[Any, ...], engines: EnginePool) -> Dataset:
    """Stream rows through a pool of actors with an engine each, many batches at once."""
    import ray.data

    pool = ray.data.ActorPoolStrategy(
        min_size=engines.least,
        max_size=engines.engines,
        initial_size=engines.least,
        max_tasks_in_flight_per_actor=_BATCHES_UNDER_WAY,
        max_concurrent_calls_per_actor=_BATCHES_UNDER_WAY,
    )
    return rows.map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_format="pyarrow",
        batch_size=None,
        compute=pool,
        **engines.placement.options,
    )
