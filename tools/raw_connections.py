"""Connections that send requests slowly, which an HTTP client library would not do."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

_AT_ONCE = 200


class RawConnections:
    """Many open TCP connections to one service."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._writers: list[asyncio.StreamWriter] = []
        self._readers: list[asyncio.Task[None]] = []
        self._statuses: Counter[str] = Counter()

    async def __aenter__(self) -> RawConnections:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._readers:
            task.cancel()
        for writer in self._writers:
            writer.close()

    async def open_slow_bodies(self, count: int, key: str | None, length: int = 1_000_000) -> None:
        """Open connections that announce a body of a length in bytes and send its first byte only."""
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        head = (
            f"POST /v1/rerank HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n{authorization}"
            f"Content-Length: {length}\r\n\r\n{{"
        )
        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(self._open(head.encode()) for _ in range(min(_AT_ONCE, count - start))))

    def statuses(self) -> Counter[str]:
        """Count the connections by the status of the response, `closed` or `open` (no response yet)."""
        waiting = len(self._readers) - self._statuses.total()
        return self._statuses + Counter({"open": waiting})

    async def _open(self, data: bytes) -> None:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(data)
            await writer.drain()
        except OSError as error:
            self._statuses[type(error).__name__] += 1
            return
        self._writers.append(writer)
        self._readers.append(asyncio.create_task(self._read(reader)))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            line = await reader.readline()
        except OSError:
            line = b""
        self._statuses[line.split()[1].decode() if line else "closed"] += 1
