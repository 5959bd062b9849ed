"""Build error responses in one format for all clients, and set the headers of ranking responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

VERSION, ARM, EXPOSURE, BLEND, TIMING = "x-model-version", "x-arm", "x-exposure-id", "x-blend", "server-timing"
IGNORED = "x-ignored-fields"
_MAX_REPORTED_ERRORS = 3


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Build an error response.

    Cohere's clients read `message`. Those of Text Embeddings Inference read `error` and `error_type`.
    """
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


def validation_error_response(error: RequestValidationError) -> JSONResponse:
    """Build a 422 response that names the invalid fields. It does not repeat their values."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_response(422, f"the body is not valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}")
    if first["type"] == "model_attributes_type" and len(first["loc"]) == 1 and isinstance(first.get("input"), bytes):
        return error_response(422, "the content type is not JSON; send the header Content-Type: application/json")
    lines = [f"{_field_path(detail['loc'])}: {str(detail['msg'])[:200]}" for detail in error.errors()]
    omitted = len(lines) - _MAX_REPORTED_ERRORS
    return error_response(
        422, "; ".join(lines[:_MAX_REPORTED_ERRORS]) + (f"; and {omitted} more" if omitted > 0 else "")
    )


def set_ranking_headers(
    response: Response,
    version: str,
    queued: float,
    scored: float,
    arm: str | None = None,
    exposure_id: str | None = None,
    blend: str | None = None,
    ignored: Sequence[str] = (),
) -> None:
    """Set the headers that describe how a ranking was computed.

    Args:
        response: Response to set the headers of.
        version: Version of the model, "champion+challenger" for an interleaved ranking.
        queued: Seconds from the arrival of the request until scoring started.
        scored: Seconds that scoring took.
        arm: Arm of the experiment, if any.
        exposure_id: Id of the recorded exposure, if any.
        blend: Description of how scores were blended with the first stage, if they were.
        ignored: Names of the request's fields that had no effect.
    """
    response.headers[TIMING] = f"queue;dur={1000 * queued:.1f}, score;dur={1000 * scored:.1f}"
    names = ", ".join(ignored) or None
    values = ((VERSION, version), (ARM, arm), (EXPOSURE, exposure_id), (BLEND, blend), (IGNORED, names))
    for name, value in values:
        if value is not None:
            response.headers[name] = value


def _field_path(location: tuple[Any, ...]) -> str:
    """Format a pydantic location as a path in the body, such as `documents[1].text`.

    Drops the first part, which is always "body", and the type names that pydantic adds for the document union.
    """
    path = ""
    for part in location[1:]:
        if part not in ("str", "TextDocument"):
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"
