"""The listwise teacher's actor with a stopwatch: from its warm engine's first list to its last."""

from __future__ import annotations

import asyncio
import json
import time

import pyarrow as pa

from actors.data.rows import PreRankedList
from actors.settings import ComputeSettings, ListwiseTeacherSettings
from actors.teachers.listwise import ListwiseActor
from ranking.records import Provenance
from ranking.storage.folder import Folder


class TimedActor(ListwiseActor):
    """Asks for the warming lists first, then writes times.json after every batch: when it was warm, and when it was done."""

    def __init__(
        self,
        settings: ListwiseTeacherSettings,
        compute: ComputeSettings,
        memory: Folder,
        provenance: Provenance,
        warming: list[PreRankedList],
    ) -> None:
        super().__init__(settings, compute, memory, provenance)
        self.folder, self.warming, self.warm = memory, warming, asyncio.Lock()
        self.began: float | None = None

    async def __call__(self, batch: pa.Table) -> pa.Table:
        async with self.warm:
            if self.began is None:
                await asyncio.gather(*(self.requester.rankings(row) for row in self.warming))
                self.began = time.time()
        answered = await super().__call__(batch)
        self.folder.write_text("times.json", json.dumps([self.began, time.time()]))
        return answered
