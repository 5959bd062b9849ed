"""ASGI middleware and authentication: limit the size of request bodies, count responses, identify callers."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.serving.keys import ApiKeys
from actors.serving.responses import error_response
from actors.serving.service_metrics import IngressMetrics

ANONYMOUS = "anybody"
CLIENT_CLOSED_REQUEST = 499
"""Status that is counted if the client disconnects, instead of a 500, since the service did not fail."""

_COUNTED_ROUTES = {
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
    "/page/queries",
    "/page/search",
}


class AccessMiddleware:
    """Rejects bodies above the size limit and counts each response by route and status.

    The state belongs to the class and is set once per process, because Serve copies the application before it creates
    the replica.
    """

    keys: ClassVar[ApiKeys | None] = None
    max_body_bytes: ClassVar[int] = 0
    metrics: ClassVar[IngressMetrics]

    @classmethod
    def configure(cls, keys: ApiKeys | None, max_body_bytes: int, metrics: IngressMetrics) -> None:
        """Set the accepted keys (None: no key is required), the maximum body size and the metrics of this process."""
        cls.keys, cls.max_body_bytes, cls.metrics = keys, max_body_bytes, metrics

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection. Only HTTP requests are limited and counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, max_bytes, received, status = time.perf_counter(), AccessMiddleware.max_body_bytes, 0, 500

        too_large = HTTPException(413, f"the body has more than {max_bytes:,} bytes (serving.limits.max_body_bytes)")

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > max_bytes:
                    raise too_large  # FastAPI turns any other exception into a 400
            return message

        async def recording_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            content_length = dict(scope["headers"]).get(b"content-length", b"0")
            if content_length.isdigit() and int(content_length) > max_bytes:
                await error_response(413, too_large.detail)(scope, receive, recording_send)
            else:
                await self.app(scope, limited_receive, recording_send)
        except asyncio.CancelledError:
            status = CLIENT_CLOSED_REQUEST
            raise
        finally:
            route = scope["path"] if scope["path"] in _COUNTED_ROUTES else "other"
            AccessMiddleware.metrics.answered(route, status, time.perf_counter() - started)


def caller_of(request: Request) -> str:
    """Return the name of the caller.

    Raises:
        HTTPException: Status 401 if the service requires a key and the request has none or an unknown one.
    """
    if AccessMiddleware.keys is None:
        return ANONYMOUS
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    caller = AccessMiddleware.keys.caller_of(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise HTTPException(
            401,
            "the API key is missing or unknown; send the header Authorization: Bearer <key>",
            {"www-authenticate": "Bearer"},
        )
    return caller
