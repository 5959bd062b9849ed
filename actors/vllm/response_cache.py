"""Cache of language model responses on storage. It keeps every raw response, including unusable ones."""

from __future__ import annotations

import asyncio
import time
import uuid

import pyarrow as pa
import pyarrow.compute as pc

from ranking.records import Record
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import schema_of

_MAX_UNWRITTEN_SECONDS = 20.0
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1


class CachedResponse(Record):
    """One raw response: a row of the response cache.

    Attributes:
        list_id: Content hash of the query and its documents; for rationales, of the query, the passage and whether
            the passage is relevant.
        number: Index of the prompt order, from 0.
        step: Index of the sliding window's position, from 0; 0 if one prompt shows the whole list.
        attempt: Number of the attempt, from 1.
        raw: Text of the response; None if the engine failed.
        error: Error message of the engine; None if it answered.
        finish_reason: vLLM's finish reason, `stop` or `length`.
        document_tokens: Maximum tokens per document in the prompt.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Tokens of the prompt that were in the engine's prefix cache.
        completion_tokens: Tokens of the response.
        seconds: Seconds from the request to the response.
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
        """Key of the response: list_id, number, step and attempt."""
        return self.list_id, self.number, self.step, self.attempt


_SCHEMA = schema_of(CachedResponse)
_COLUMNS = _SCHEMA.names
_KEY = ("list_id", "number", "step", "attempt")


class ResponseCache:
    """The responses in a cache folder, and new ones that are still to be written there.

    `write` writes new responses as a Parquet file, and so does `add` if the last write was over `max_unwritten_seconds`
    ago.
    Written responses stay in memory as Arrow tables with an index of key hashes. This uses one fifth of the memory that
    Python record objects would.
    """

    def __init__(self, folder: Folder, max_unwritten_seconds: float = _MAX_UNWRITTEN_SECONDS) -> None:
        self.folder = folder
        self._max_unwritten_seconds = max_unwritten_seconds
        self._tables: list[pa.Table] = []
        self._index: dict[int, int] = {}
        self._unwritten: dict[tuple[str, int, int, int], CachedResponse] = {}
        self._written_at = time.monotonic()
        for table in folder.read_tables():
            self._append(table.select(_COLUMNS).cast(_SCHEMA))

    def find(self, list_id: str, number: int, step: int, attempt: int) -> CachedResponse | None:
        """Look up a response; None if it is not in the cache."""
        key = (list_id, number, step, attempt)
        if key in self._unwritten:
            return self._unwritten[key]
        location = self._index.get(hash(key))
        if location is None:
            return None
        (row,) = self._tables[location >> _ROW_BITS].slice(location & _ROW_MASK, 1).to_pylist()
        response = CachedResponse.model_validate(row)
        return response if response.key == key else None  # a hash collision costs at worst a repeated request

    async def add(self, response: CachedResponse) -> None:
        """Add a response. Write all new responses if the last write was over `max_unwritten_seconds` ago."""
        self._unwritten[response.key] = response
        if time.monotonic() - self._written_at > self._max_unwritten_seconds:
            await self.write()

    async def write(self) -> None:
        """Write new responses to storage in a background thread."""
        self._written_at = time.monotonic()
        rows = self._unwritten
        if rows:
            table = pa.Table.from_pylist([response.model_dump() for response in rows.values()], _SCHEMA)
            self._append(table)
            self._unwritten = {}
            await asyncio.to_thread(self.folder.write_table, f"part-{uuid.uuid4().hex}.parquet", table)

    def _append(self, table: pa.Table) -> None:
        """Index the responses in a table. Failed requests are left out, so they are sent again."""
        table = table.filter(pc.is_null(table["error"])).combine_chunks()
        offset = len(self._tables) << _ROW_BITS
        self._tables.append(table)
        for row, key in enumerate(zip(*(table[name].to_pylist() for name in _KEY), strict=True)):
            self._index.setdefault(hash(key), offset | row)
