"""ASGI middleware: refuse requests by their headers, read bodies within limits, secure and count responses.

A HEAD request is answered like GET, without the body. A body without a content type is JSON, unless a web page sent it:
browsers send such bodies across origins without a preflight request.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.serving.http_api.body_reader import BodyReader, ClientDisconnectedError, too_large
from actors.serving.http_api.cors import with_cors
from actors.serving.http_api.hosts import AllowedHosts
from actors.serving.http_api.keys import ApiKeys
from actors.serving.http_api.responses import error_response
from actors.serving.service_metrics import IngressMetrics
from actors.serving.serving_settings import LimitSettings

ANONYMOUS = "anybody"
CLIENT_CLOSED_REQUEST = 499
"""Status that is counted if the client disconnects, instead of a 500, since the service did not fail."""

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every response. A response that sets one of them keeps its own value."""

_BEARER = HTTPBearer(auto_error=False, description="A key in the file `serving.keys`, if the service has one.")
_PROBES = ("/health", "/ready")
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
    "/v1/judgements",
    "/page/queries",
    "/page/search",
    "/page/worse-queries",
}


@dataclass(frozen=True)
class AccessPolicy:
    """What the middleware of one process enforces.

    Attributes:
        keys: Accepted keys. None if no key is required.
        hosts: Accepted Host headers.
        limits: Limits of a request.
        bodies: Reads the bodies.
        metrics: Counts the responses.
        origins: Origins whose web pages may call the service.
    """

    keys: ApiKeys | None
    hosts: AllowedHosts
    limits: LimitSettings
    bodies: BodyReader
    metrics: IngressMetrics
    origins: tuple[str, ...] = ()


class AccessMiddleware:
    """Decides by its headers whether a request is allowed, before its body is read, and counts each response.

    The state belongs to the class and is set once per process, because Serve copies the application before it creates
    the replica.
    """

    policy: ClassVar[AccessPolicy]

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection. Only HTTP requests are limited and counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, without_body = time.perf_counter(), 500, scope["method"] == "HEAD"
        scope = _normalize(scope)

        async def secured_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            elif without_body:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._with_error_responses(self._check_host)(scope, receive, secured_send)
        except (asyncio.CancelledError, ClientDisconnectedError) as error:
            status = CLIENT_CLOSED_REQUEST
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            route = scope["path"] if scope["path"] in _COUNTED_ROUTES else "other"
            AccessMiddleware.policy.metrics.record_response(route, status, time.perf_counter() - started)

    @staticmethod
    def _with_error_responses(app: ASGIApp) -> ASGIApp:
        """Return an application that sends the `HTTPException`s of another one as responses."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except HTTPException as error:
                await error_response(error.status_code, error.detail, error.headers)(scope, receive, send)

        return handle

    async def _check_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check what does not depend on the caller, before a preflight request is answered."""
        policy = AccessMiddleware.policy
        _check_headers(scope, policy)
        app = self._with_error_responses(self._handle)  # pages can read an error only if it has CORS headers
        await (with_cors(app, policy.origins) if policy.origins else app)(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = AccessMiddleware.policy
        caller = scope.setdefault("state", {})["caller"] = _caller(scope, policy.keys)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > policy.limits.max_body_bytes:
            raise too_large(policy.limits)
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        async with policy.bodies.body(receive, caller or ANONYMOUS) as body:
            complete: Message | None = {"type": "http.request", "body": body, "more_body": False}

            async def replay() -> Message:
                nonlocal complete
                message, complete = complete, None
                return await receive() if message is None else message

            await self.app(scope, replay, send)


def caller_of(request: Request, _: Annotated[Any, Security(_BEARER)]) -> str:
    """Return the name of the caller, which the middleware has determined.

    Raises:
        HTTPException: Status 401 if the route requires a key that the middleware did not check.
    """
    caller: str | None = request.state.caller
    if caller is None:
        raise _unauthorized_error()
    return caller


def _normalize(scope: Scope) -> Scope:
    """Return the scope without trailing slashes in the path, with GET for HEAD, and with a content type."""
    path, headers = scope["path"], list(scope["headers"])
    names = {name for name, _ in headers}
    if b"content-type" not in names and b"origin" not in names:
        headers.append((b"content-type", b"application/json"))
    return {
        **scope,
        "method": "GET" if scope["method"] == "HEAD" else scope["method"],
        "path": path if path == "/" else path.rstrip("/"),  # a redirect would repeat the Host header
        "headers": headers,
    }


def _check_headers(scope: Scope, policy: AccessPolicy) -> None:
    """Check the headers that do not depend on the caller.

    Raises:
        HTTPException: The request is refused.
    """
    headers = Headers(scope=scope)
    if scope["path"] not in _PROBES and not policy.hosts.accepts(headers.get("host", "")):
        raise HTTPException(
            400, "this host name is not allowed; add it to serving.allowed_hosts, or require keys with serving.keys"
        )
    lengths, encodings = headers.getlist("content-length"), headers.getlist("transfer-encoding")
    if len(lengths) + len(encodings) > 1 or any(value.lower() != "chunked" for value in encodings):
        raise HTTPException(400, "more than one of Content-Length and Transfer-Encoding", {"connection": "close"})


def _caller(scope: Scope, keys: ApiKeys | None) -> str | None:
    """Return the name of the caller, or None if a key is required, missing, and the route may not need it.

    Raises:
        HTTPException: Status 401 if the request may change something or reads the collection, without a known key.
    """
    if keys is None:
        return ANONYMOUS
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    caller = keys.caller_of(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None and (scope["method"] not in ("GET", "HEAD") or scope["path"].startswith("/page/")):
        raise _unauthorized_error()
    return caller


def _unauthorized_error() -> HTTPException:
    return HTTPException(
        401,
        "the API key is missing or unknown; send the header Authorization: Bearer <key>",
        {"www-authenticate": "Bearer"},
    )
