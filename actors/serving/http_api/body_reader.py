"""Read request bodies with a deadline, and with limits on one body and on all bodies in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException
from starlette.types import Message, Receive

from actors.serving.serving_settings import LimitSettings


class ClientDisconnectedError(Exception):
    """The client closed the connection before the body was complete."""


class BodyReader:
    """Reads the bodies of requests and counts the bytes of all bodies in memory, per caller."""

    def __init__(self, limits: LimitSettings, several_keys: bool) -> None:
        """Start with no bytes in memory.

        Args:
            limits: The limits.
            several_keys: Whether callers have keys. A key then gets at most `max_share_per_key` of the memory.
        """
        self._limits, self._share = limits, limits.max_share_per_key if several_keys else 1.0
        self._bytes: Counter[str] = Counter()
        self._reading: Counter[str] = Counter()
        self._several_keys = several_keys

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of all bodies that are being read or whose request is in progress."""
        return self._bytes.total()

    @asynccontextmanager
    async def body(self, receive: Receive, caller: str) -> AsyncIterator[bytes]:
        """Read a body. Its bytes count as in memory until the context is left.

        Args:
            receive: ASGI callable that returns the next message.
            caller: Name of the caller.

        Raises:
            HTTPException: 413 if the body is too large, 408 if it is not complete in time, 429 if the caller sends too
                many bodies at the same time or too many bytes are in memory.
            ClientDisconnectedError: The client closed the connection.
        """
        if self._several_keys and self._reading[caller] >= self._limits.max_requests_per_key:
            raise HTTPException(
                429, f"{self._reading[caller]} request bodies with this key are being read", {"retry-after": "1"}
            )
        received = 0
        chunks = []
        self._reading[caller] += 1
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    while True:
                        message = await receive()
                        chunk, more = _content(message)
                        received += len(chunk)
                        self._bytes[caller] += len(chunk)
                        self._check_size(received, caller)
                        chunks.append(chunk)
                        if not more:
                            break
            except TimeoutError:
                raise HTTPException(
                    408,
                    f"the body was not complete within {self._limits.body_seconds:g} s (serving.limits.body_seconds)",
                    {"connection": "close"},
                ) from None
            finally:
                self._reading -= Counter({caller: 1})
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self._bytes -= Counter({caller: received})

    def _check_size(self, received: int, caller: str) -> None:
        limits = self._limits
        if received > limits.max_body_bytes:
            raise too_large(limits)
        own, total = self._bytes[caller], self._bytes.total()
        if own > limits.max_bytes_in_memory * self._share or total > limits.max_bytes_in_memory:
            raise HTTPException(
                429,
                f"the request bodies in progress have more than {limits.max_bytes_in_memory:,} bytes "
                "(serving.limits.max_bytes_in_memory)",
                {"retry-after": "1"},
            )


def too_large(limits: LimitSettings) -> HTTPException:
    """Return the error for a body above the size limit."""
    return HTTPException(413, f"the body has more than {limits.max_body_bytes:,} bytes (serving.limits.max_body_bytes)")


def _content(message: Message) -> tuple[bytes, bool]:
    """Return the bytes of an ASGI message, and whether more will follow."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnectedError
    return message.get("body", b""), message.get("more_body", False)
