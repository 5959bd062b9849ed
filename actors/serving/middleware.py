"""The door of the service: who calls, bodies that are too large, and a count of every answer."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.serving.keys import ApiKeys
from actors.serving.responses import refused_body
from actors.serving.service_metrics import IngressMetrics

ANYBODY = "anybody"
GONE = 499
"""Counted for callers that hung up: nothing failed here."""

_LISTED = {
    "/",
    "/health",
    "/ready",
    "/docs",
    "/openapi.json",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/models",
    "/v1/feedback",
}
_LISTED |= {"/page/queries", "/page/search"}


class AccessMiddleware:
    """ASGI middleware.

    What it needs is the class's own, set once in a process: Serve copies the application before its replica is made.
    """

    keys: ClassVar[ApiKeys | None] = None
    max_body_bytes: ClassVar[int] = 0
    metrics: ClassVar[IngressMetrics]

    @classmethod
    def open(cls, keys: ApiKeys | None, max_body_bytes: int, metrics: IngressMetrics) -> None:
        """Say who may come in, and with how much."""
        cls.keys, cls.max_body_bytes, cls.metrics = keys, max_body_bytes, metrics

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, most, arrived, status = time.perf_counter(), AccessMiddleware.max_body_bytes, 0, 500

        too_large = HTTPException(413, f"the body has more than {most:,} bytes (serving.limits.max_body_bytes)")

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            if message["type"] == "http.request":
                arrived += len(message.get("body", b""))
                if arrived > most:
                    raise too_large  # FastAPI lets none but this kind through
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            announced = dict(scope["headers"]).get(b"content-length", b"0")
            if announced.isdigit() and int(announced) > most:
                await refused_body(413, too_large.detail)(scope, receive, noted)
            else:
                await self.app(scope, counted, noted)
        except asyncio.CancelledError:
            status = GONE
            raise
        finally:
            route = scope["path"] if scope["path"] in _LISTED else "other"
            AccessMiddleware.metrics.answered(route, status, time.perf_counter() - began)


def caller_of(request: Request) -> str:
    """Who calls. Answers 401 where a key is asked for and the one shown is unknown."""
    if AccessMiddleware.keys is None:
        return ANYBODY
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    caller = AccessMiddleware.keys.caller_of(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise HTTPException(
            401, "a known key is needed, as Authorization: Bearer <key>", {"www-authenticate": "Bearer"}
        )
    return caller
