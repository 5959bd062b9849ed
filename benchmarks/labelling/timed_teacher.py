"""Listwise teacher that measures the time from the end of its warm-up to its last list."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pyarrow as pa

from actors.compute_settings import ComputeSettings
from actors.teachers.listwise.hosted_listwise import HostedListwiseActor
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.listwise.listwise_teacher import ListwiseActor
from ranking.records import PreRankedList, Provenance
from ranking.storage.folder import Folder


class TimedActor(ListwiseActor):
    """Listwise teacher that ranks warm-up lists first and records times.

    Writes times.json after every batch: [end of the warm-up, end of the batch], in seconds since the epoch.

    Args:
        settings: Settings of the teacher.
        compute: Compute settings.
        cache: Folder of the response cache and of times.json.
        provenance: Provenance of the labels.
        warm_up: Lists to rank before the first batch. Their responses are not timed.
    """

    def __init__(
        self,
        settings: ListwiseTeacherSettings,
        compute: ComputeSettings,
        cache: Folder,
        provenance: Provenance,
        warm_up: list[PreRankedList],
    ) -> None:
        super().__init__(settings, compute, cache, provenance)
        self.folder, self.warm_up, self.lock = cache, warm_up, asyncio.Lock()
        self.start: float | None = None

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Label a batch: rows of PreRankedList to rows of Outcome."""
        async with self.lock:
            if self.start is None:
                await asyncio.gather(*(self.requester.rankings(row) for row in self.warm_up))
                self.start = time.time()
        outcomes = await super().__call__(batch)
        self.folder.write_text("times.json", json.dumps([self.start, time.time()]))
        return outcomes


class TimedHostedActor(HostedListwiseActor):
    """Hosted listwise teacher that ranks warm-up lists first and records times, see `TimedActor`."""

    def __init__(
        self,
        settings: ListwiseTeacherSettings,
        compute: ComputeSettings,
        cache: Folder,
        provenance: Provenance,
        source: tuple[Any, ...],
        warm_up: list[PreRankedList],
    ) -> None:
        super().__init__(settings, compute, cache, provenance, source)
        self.folder, self.warm_up, self.lock = cache, warm_up, asyncio.Lock()
        self.start: float | None = None

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Label a batch: rows of PreRankedList to rows of Outcome."""
        async with self.lock:
            if self.start is None:
                await asyncio.gather(*(self.requester.rankings(row) for row in self.warm_up))
                self.start = time.time()
        outcomes = await super().__call__(batch)
        self.folder.write_text("times.json", json.dumps([self.start, time.time()]))
        return outcomes
