"""A proxy before an S3 service, that passes requests as they are signed, or fails in one of the ways that services do."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tools.ports import free_ports

_ERROR = "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>made to fail</Message></Error>"
_PASSED_BY = {"transfer-encoding", "content-length", "connection", "content-encoding"}
_SLOW = 2.0
_PIECE = 16 * 1024
_MOST = 2**30


class FailingS3:
    """Used as a context manager. url: of the proxy. Half of the requests get status 500 in the first mode."""

    MODES = ("S3 answers 500", "S3 slow", "S3 cut off")

    def __init__(self, behind: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._behind = port, behind
        self._mode: str | None = None
        self._drawn = random.Random(0)
        self._loop = asyncio.new_event_loop()

    def set(self, mode: str | None) -> bool:
        """How to fail from now on; None: not at all."""
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
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        application = web.Application(client_max_size=_MOST)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, shutdown_timeout=1).start()

    async def _end(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._mode == "S3 cut off":
            return self._hung_up(request)
        if self._mode == "S3 answers 500" and self._drawn.random() < 0.5:
            return web.Response(status=500, text=_ERROR, content_type="application/xml")
        if self._mode == "S3 slow":
            await asyncio.sleep(_SLOW)
        url = self._behind + request.raw_path
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _PASSED_BY - {"content-encoding"}
        }
        asked = self._session.request(
            request.method, _as_is(url), headers=headers, data=body or None, allow_redirects=False
        )
        async with asked as answer:
            return await self._passed_on(request, answer)

    async def _passed_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer, piece by piece; one that is under way when S3 is cut off ends there."""
        given = {
            name: value for name, value in answer.headers.items() if name.lower() not in _PASSED_BY - {"content-length"}
        }
        response = web.StreamResponse(status=answer.status, headers=given)
        await response.prepare(request)
        if request.method != "HEAD":
            async for piece in answer.content.iter_chunked(_PIECE):
                if self._mode == "S3 cut off":
                    return self._hung_up(request)
                await response.write(piece)
        await response.write_eof()
        return response

    @staticmethod
    def _hung_up(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _as_is(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)
