"""Retriever that asks a search engine with a JSON API over HTTP, such as Elasticsearch or Solr."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, SSLError

from actors.retrieval.engine_retriever import (
    MAX_WAIT_SECONDS,
    EngineRetriever,
    QueryRefusedError,
    TemporaryFailureError,
)
from ranking.collections.nested_values import MISSING, value_at
from ranking.engine_settings import HttpSearchSettings
from ranking.json_text import parse_json, replace_surrogates
from ranking.records import Query
from ranking.retrieval.engine_hits import AnswerError, EngineHit, hits_of_answer, partial_problem
from ranking.retrieval.request_templates import fill_template

_TEMPORARY = {429, 502, 503, 504}
_REFUSED = {400, 413, 414, 422}
_DENIED = {401, 403}
_REASONS = ("error.reason", "error.msg", "root.errors.0.message", "error.message", "message")
"""Paths of the reason in the errors of Elasticsearch and OpenSearch, Solr, Vespa, and others."""

_MAX_ANSWER_BYTES = 64 * 2**20
_CHUNK_BYTES = 64 * 2**10
_MAX_REASON_CHARACTERS = 200


class HttpSearchRetriever(EngineRetriever):
    """Asks a search engine over HTTP. Never follows redirects, because they would pass on the headers.

    Args:
        settings: Settings of the engine.
    """

    def __init__(self, settings: HttpSearchSettings) -> None:
        super().__init__(settings, settings.url.partition("?")[0])
        self.settings = settings
        headers = {name: self.environment.resolve(value) for name, value in settings.headers.items()}
        self._headers = {"accept": "application/json", **{name.lower(): value for name, value in headers.items()}}
        if settings.body is not None:
            self._headers.setdefault("content-type", "application/json")
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=settings.concurrency, block=True)

    def ask(self, query: Query, depth: int) -> list[EngineHit]:
        """Ask the engine once. See the base class."""
        status, headers, content = self._exchange(query, depth)
        if status in _TEMPORARY:
            raise TemporaryFailureError(_failure(status, content), _seconds_to_wait(headers.get("retry-after")))
        if status in _REFUSED:
            raise QueryRefusedError(f"the engine refuses the query with {_failure(status, content)}")
        if 300 <= status < 400:
            place = urlsplit(headers.get("location", ""))
            raise AnswerError(
                f"HTTP {status}, a redirect to {place.scheme}://{place.hostname}; redirects are not followed, set "
                "`url` to the final address"
            )
        if status != 200:
            advice = "; check the credentials in `headers`" if status in _DENIED else ""
            raise AnswerError(f"{_failure(status, content)}{advice}")
        return self._hits(content, depth)

    def _hits(self, content: bytes, depth: int) -> list[EngineHit]:
        try:
            answer = parse_json(replace_surrogates(content.decode("utf-8"))[0])
        except ValueError as error:  # UnicodeDecodeError is a ValueError
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise AnswerError(f"the answer is {reason}: {_excerpt(content)!r}") from None
        if problem := partial_problem(answer, self.settings.partial):
            raise TemporaryFailureError(problem)
        return hits_of_answer(answer, self.settings, depth)

    def _exchange(self, query: Query, depth: int) -> tuple[int, Any, bytes]:
        """Send the request and return the status, headers and body of the answer.

        Raises:
            TemporaryFailureError: There is no complete answer within the time limit.
            AnswerError: The server's certificate is not valid, or the answer is too large.
        """
        settings, deadline = self.settings, time.monotonic() + self.settings.timeout_seconds
        parameters = fill_template(settings.parameters, query.text, depth)
        body = None if settings.body is None else json.dumps(fill_template(settings.body, query.text, depth))
        try:
            response = self._pool.request(
                settings.method,
                _with_parameters(settings.url, parameters),
                body=body.encode() if body is not None else None,
                headers=self._headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=settings.timeout_seconds),
            )
            try:
                return response.status, response.headers, _read(response, deadline)
            finally:
                response.close()
                response.release_conn()
        except SSLError as error:
            raise AnswerError(f"the TLS connection failed ({_reason_of(error)})") from None
        except (HTTPError, OSError) as error:
            raise TemporaryFailureError(f"no complete answer ({_reason_of(error)})") from None


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read the body of an answer.

    Raises:
        TemporaryFailureError: The body is not complete at the deadline.
        AnswerError: The body is too large.
    """
    content = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > _MAX_ANSWER_BYTES:
            raise AnswerError(f"the answer is larger than {_MAX_ANSWER_BYTES // 2**20} MiB")
        if time.monotonic() > deadline:
            raise TemporaryFailureError("no complete answer (timed out)")
    return bytes(content)


def _with_parameters(url: str, parameters: dict[str, Any]) -> str:
    """Add parameters to a URL. A list gives one parameter per element, and booleans are written as in JSON."""
    if not parameters:
        return url
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items()}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(values, doseq=True, errors='replace')}"


def _seconds_to_wait(retry_after: str | None) -> float:
    """Parse a Retry-After header, which has seconds or a date. Returns 0 if it is missing or invalid."""
    try:
        return urllib3.Retry(retry_after_max=int(MAX_WAIT_SECONDS)).parse_retry_after(retry_after or "0")
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _failure(status: int, content: bytes) -> str:
    """Describe an answer whose status is not 200, with the reason that the engine gives."""
    reason = _reason_in(content)
    return f"HTTP {status}" + (f" ({reason})" if reason else "")


def _reason_in(content: bytes) -> str:
    try:
        answer = parse_json(content.decode("utf-8"))
    except ValueError:
        return _excerpt(content)
    reasons = (value_at(answer, path) for path in _REASONS)
    reason = next((reason for reason in reasons if reason is not MISSING and isinstance(reason, str)), None)
    return _excerpt(content if reason is None else reason.encode("utf-8", "replace"))


def _excerpt(content: bytes) -> str:
    """Return the beginning of a text in one line."""
    text = " ".join(content[: 4 * _MAX_REASON_CHARACTERS].decode("utf-8", "replace").split())
    return text if len(text) <= _MAX_REASON_CHARACTERS else f"{text[:_MAX_REASON_CHARACTERS]}..."


def _reason_of(error: Exception) -> str:
    """Describe an error of urllib3 without the names of its Python objects."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(error).rpartition(">: ")[2].split())[:_MAX_REASON_CHARACTERS]
