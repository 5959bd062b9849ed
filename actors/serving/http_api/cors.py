"""Cross-origin requests of web pages from the origins in `serving.allowed_origins`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from actors.serving.http_api.responses import ARM, BLEND, EXPOSURE, IGNORED, TIMING, VERSION


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Answer preflight requests, and add CORS headers to the responses of an application.

    Args:
        app: The application. It never receives a preflight request, which has neither a key nor a body.
        origins: Origins such as https://shop.example.com; `*` is any origin.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=("authorization", "content-type", "x-experiment-key"),
        expose_headers=(VERSION, ARM, EXPOSURE, BLEND, IGNORED, TIMING, "retry-after"),
    )
