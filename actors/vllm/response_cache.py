"""What a listwise teacher was asked and what it answered, kept on storage as it came, also where it cannot be used."""

from __future__ import annotations

import asyncio
import time
import uuid

import pyarrow as pa
import pyarrow.compute as pc

from ranking.records import Record
from ranking.storage.folder import Folder, schema_of

_SECONDS_UNWRITTEN = 20.0
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1


class CachedResponse(Record):
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


_SCHEMA = schema_of(CachedResponse)
_COLUMNS = _SCHEMA.names
_KEY = ("list_id", "number", "step", "attempt")


class ResponseCache:
    """The answers of a folder. New ones are written in parts: when asked to, and when they have waited for a while.

    What is written is held as it lies in the parts, in Arrow, with a number for each key: a fifth of what records would take.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._tables: list[pa.Table] = []
        self._places: dict[int, int] = {}
        self._unwritten: dict[tuple[str, int, int, int], CachedResponse] = {}
        self._written_at = time.monotonic()
        for table in folder.read_tables():
            self._hold(table.select(_COLUMNS).cast(_SCHEMA))

    def find(self, list_id: str, number: int, step: int, attempt: int) -> CachedResponse | None:
        """An answer that is held; None where it was not given."""
        key = (list_id, number, step, attempt)
        if key in self._unwritten:
            return self._unwritten[key]
        place = self._places.get(hash(key))
        if place is None:
            return None
        (row,) = self._tables[place >> _ROW_BITS].slice(place & _ROW_MASK, 1).to_pylist()
        found = CachedResponse.model_validate(row)
        return found if found.key == key else None  # two keys of one hash: asked again at worst

    async def add(self, asked: CachedResponse) -> None:
        """Keep an answer."""
        self._unwritten[asked.key] = asked
        if time.monotonic() - self._written_at > _SECONDS_UNWRITTEN:
            await self.write()

    async def write(self) -> None:
        """Write what is not written yet, beside the event loop."""
        self._written_at = time.monotonic()
        rows = self._unwritten
        if rows:
            table = pa.Table.from_pylist([asked.model_dump() for asked in rows.values()], _SCHEMA)
            self._hold(table)
            self._unwritten = {}
            await asyncio.to_thread(self.folder.write_table, f"part-{uuid.uuid4().hex}.parquet", table)

    def _hold(self, table: pa.Table) -> None:
        table = table.filter(pc.is_null(table["error"])).combine_chunks()  # what failed in the engine is asked again
        where = len(self._tables) << _ROW_BITS
        self._tables.append(table)
        for row, key in enumerate(zip(*(table[name].to_pylist() for name in _KEY), strict=True)):
            self._places.setdefault(hash(key), where | row)
