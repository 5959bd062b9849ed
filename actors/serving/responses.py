"""Answers that are no ranking: refusals in one shape for all clients, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

VERSION, ARM, EXPOSURE, BLEND, TIMING = "x-model-version", "x-arm", "x-exposure-id", "x-blend", "server-timing"
_MOST_TOLD = 3


def refused_body(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal: `message` for Cohere's clients, `error` and `error_type` for those of Text Embeddings Inference."""
    kind = (
        "validation"
        if status in (400, 413, 422)
        else "overloaded"
        if status == 429
        else "backend"
        if status >= 500
        else "refused"
    )
    return JSONResponse({"message": message, "error": message, "error_type": kind}, status, dict(headers or {}))


def refused_request(error: RequestValidationError) -> JSONResponse:
    """What is wrong with a request's fields, without the values that were given."""
    if error.errors()[0]["type"] == "json_invalid":
        return refused_body(422, f"the body is no valid JSON, at character {error.errors()[0]['loc'][-1]}")
    lines = [f"{_place(one['loc'])}: {str(one['msg'])[:200]}" for one in error.errors()]
    left = len(lines) - _MOST_TOLD
    return refused_body(422, "; ".join(lines[:_MOST_TOLD]) + (f"; and {left} more" if left > 0 else ""))


def told(
    response: Response,
    version: str,
    queued: float,
    scored: float,
    arm: str | None = None,
    exposure_id: str | None = None,
    blend: str | None = None,
) -> None:
    """Set the headers that say what answered. queued, scored: seconds before the model and in it. blend: how scores were blended."""
    response.headers[TIMING] = f"queue;dur={1000 * queued:.1f}, score;dur={1000 * scored:.1f}"
    for name, value in ((VERSION, version), (ARM, arm), (EXPOSURE, exposure_id), (BLEND, blend)):
        if value is not None:
            response.headers[name] = value


def _place(location: tuple[Any, ...]) -> str:
    """Where in the body: the first part says only that it is the body, others the kind that a document was tried as."""
    text = ""
    for part in location[1:]:
        if part not in ("str", "TextDocument"):
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "body"
