"""What a listwise teacher was asked and what it answered, kept on storage as it came, also where it cannot be used."""

from __future__ import annotations

import asyncio
import time
import uuid

from ranking.records import Record
from ranking.storage import Folder

_SECONDS_UNWRITTEN = 20.0


class Asked(Record):
    """One answer as it came: a row of the teacher's memory.

    list_id: of the query and the documents shown. number: which of the list's orders, from 0. step: which
    window of a sliding one, else 0. attempt: from 1. raw: None where the engine failed; then error says why.
    document_tokens: to which each document was cut. cached_tokens: of the prompt, found in the prefix cache.
    """

    list_id: str
    number: int
    step: int
    attempt: int
    raw: str | None
    error: str | None
    finish_reason: str | None
    document_tokens: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What names an answer."""
        return self.list_id, self.number, self.step, self.attempt


class AnswerMemory:
    """The answers of a folder. New ones are written in parts: when asked to, and when they have waited for a while."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._held: dict[tuple[str, int, int, int], Asked] = {}
        self._unwritten: list[Asked] = []
        self._written_at = time.monotonic()
        for asked in folder.read_rows(Asked):
            if asked.error is None:  # what failed in the engine is asked again
                self._held.setdefault(asked.key, asked)

    def find(self, list_id: str, number: int, step: int, attempt: int) -> Asked | None:
        """An answer that is held; None where it was not given."""
        return self._held.get((list_id, number, step, attempt))

    async def add(self, asked: Asked) -> None:
        """Keep an answer."""
        self._held[asked.key] = asked
        self._unwritten.append(asked)
        if time.monotonic() - self._written_at > _SECONDS_UNWRITTEN:
            await self.write()

    async def write(self) -> None:
        """Write what is not written yet, beside the event loop."""
        self._written_at = time.monotonic()
        rows, self._unwritten = self._unwritten, []
        if rows:
            await asyncio.to_thread(self.folder.write_rows, f"part-{uuid.uuid4().hex}.parquet", rows)
