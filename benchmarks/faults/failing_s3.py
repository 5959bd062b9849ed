"""Proxy an S3 service and make it fail on demand. Requests are forwarded unchanged, so their signatures stay valid."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tools.ports import free_ports

_ERROR = "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>injected failure</Message></Error>"
_DROPPED_HEADERS = {"transfer-encoding", "content-length", "connection", "content-encoding"}
_DELAY_SECONDS = 2.0
_CHUNK_BYTES = 16 * 1024
_MAX_BODY_BYTES = 2**30


class FailingS3:
    """Context manager that runs the proxy in a thread.

    Modes: "S3 answers 500" answers half of the requests with status 500. "S3 slow" delays each request by two seconds.
    "S3 cut off" closes all connections.

    Args:
        upstream: URL of the S3 service.

    Attributes:
        url: URL of the proxy.
    """

    MODES = ("S3 answers 500", "S3 slow", "S3 cut off")

    def __init__(self, upstream: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._upstream = port, upstream
        self._mode: str | None = None
        self._generator = random.Random(0)
        self._loop = asyncio.new_event_loop()

    def set(self, mode: str | None) -> bool:
        """Set the mode from now on; None stops failing. Always returns True."""
        self._mode = mode
        return True

    def __enter__(self) -> FailingS3:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, shutdown_timeout=1).start()

    async def _close(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._mode == "S3 cut off":
            return self._hang_up(request)
        if self._mode == "S3 answers 500" and self._generator.random() < 0.5:
            return web.Response(status=500, text=_ERROR, content_type="application/xml")
        if self._mode == "S3 slow":
            await asyncio.sleep(_DELAY_SECONDS)
        url = self._upstream + request.raw_path
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _DROPPED_HEADERS - {"content-encoding"}
        }
        upstream = self._session.request(
            request.method, _encoded_url(url), headers=headers, data=body or None, allow_redirects=False
        )
        async with upstream as upstream_response:
            return await self._forward(request, upstream_response)

    async def _forward(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Stream a response to the client. "S3 cut off" also interrupts responses in progress."""
        headers = {
            name: value
            for name, value in upstream.headers.items()
            if name.lower() not in _DROPPED_HEADERS - {"content-length"}
        }
        response = web.StreamResponse(status=upstream.status, headers=headers)
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in upstream.content.iter_chunked(_CHUNK_BYTES):
                if self._mode == "S3 cut off":
                    return self._hang_up(request)
                await response.write(chunk)
        await response.write_eof()
        return response

    @staticmethod
    def _hang_up(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _encoded_url(url: str) -> Any:
    """Parse a URL without encoding it again, which would invalidate the signature."""
    from yarl import URL

    return URL(url, encoded=True)
