"""The FastAPI application of the service, without its routes: error responses, middleware and documentation."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from actors.serving.http_api.api_docs import add_api_docs
from actors.serving.http_api.json_route import JsonRoute
from actors.serving.http_api.middleware import AccessMiddleware, caller_of
from actors.serving.http_api.responses import error_response, validation_error_response

_log = logging.getLogger("ray.serve")

api = FastAPI(
    title="rradistill",
    description="A distilled re-ranker. All formats return the same order. "
    "`relevance_score` and `score` are the sigmoid of the raw score.",
    docs_url=None,
    redoc_url=None,
    redirect_slashes=False,
)
api.router.route_class = JsonRoute
api.add_middleware(AccessMiddleware)
add_api_docs(api)


@api.exception_handler(RequestValidationError)
async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    return validation_error_response(error)


@api.exception_handler(AnyHTTPException)
async def _http_error(request: Request, error: AnyHTTPException) -> JSONResponse:
    return error_response(error.status_code, str(error.detail), error.headers)


@api.exception_handler(Exception)
async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    _log.error(
        "%s %s: %s: %s",
        request.method,
        request.url.path,
        type(error).__name__,
        str(error).splitlines()[0] if str(error) else "",
    )
    return error_response(500, "internal error, see the log of the service")


Caller = Annotated[str, Depends(caller_of)]

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The Host header is not allowed, or headers contradict each other."},
    401: {"description": "The key is missing or unknown."},
    408: {"description": "The body was not complete in time."},
    413: {"description": "The body is too large, or a text is too long and `truncate` is false."},
    422: {"description": "The request is invalid. The message names the field."},
    429: {"description": "Too many requests are in progress. Retry after the seconds in `Retry-After`."},
    503: {"description": "Feedback could not be recorded. Send it again later."},
    504: {"description": "The request timed out."},
}
