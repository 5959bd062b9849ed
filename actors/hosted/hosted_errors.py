"""Errors of hosted models, and how the HTTP responses of a chat-completions server are classified."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["input", "service", "cap"]

_TOO_LONG = re.compile(
    r"context.{0,12}(?:length|window|size)|maximum context|too (?:long|many tokens|large)|reduce the length"
    r"|exceeds? .{0,40}tokens|longer than",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content.{0,3}(?:filter|policy|management)|safety", re.IGNORECASE)
_FORMAT = re.compile(r"response_format|json_schema|json schema|structured|guided|grammar", re.IGNORECASE)
_SECRET = re.compile(r"(?<![A-Za-z0-9])(?:sk|key|hf|gsk|xai)[-_][\w*.-]{8,}|Bearer\s+\S+")
_MAX_CHARACTERS = 200
_RETRIED = {408, 409, 425, 429}


class RequestDeferredError(Exception):
    """A request is not sent in this job. Its list stays without a label and without a rejection."""


class RefusedPromptError(ValueError):
    """The server refuses a prompt, for example because it is too long. Its list is rejected with the reason."""


@dataclass(frozen=True)
class Stop:
    """Why a job sends no further requests.

    Attributes:
        kind: `input`: the user has to change something. `service`: the server failed. `cap`: the spend cap is reached.
        reason: The reason in one line.
    """

    kind: Kind
    reason: str


class StopError(Exception):
    """The job must send no further requests."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.reason)
        self.stop = stop


class RetryError(Exception):
    """A request failed and may succeed later.

    Args:
        problem: What failed, in one line.
        wait: Seconds to wait that the server asks for; None if it does not.
        throttled: Whether the server limits the rate, so that other requests should wait too.
    """

    def __init__(self, problem: str, wait: float | None = None, throttled: bool = False) -> None:
        super().__init__(problem)
        self.wait, self.throttled = wait, throttled


class UnsupportedFormatError(Exception):
    """The server refuses the response format of a request."""


def message_of(text: str, secret: str | None = None) -> str:
    """Return the message in the body of an error response in one line, without anything that looks like a key.

    Args:
        text: Body of the response: JSON as OpenAI's servers send it, or any text.
        secret: The API key.
    """
    message = _field(text, "message") or text
    if secret:
        message = message.replace(secret, "***")
    message = " ".join(_SECRET.sub("***", message).split())
    return message if len(message) <= _MAX_CHARACTERS else f"{message[:_MAX_CHARACTERS]}..."


def error_of(
    status: int, text: str, wait: float | None, *, structured: bool, proven: bool, model: str, key: str | None
) -> Exception:
    """Classify an error response.

    Args:
        status: HTTP status.
        text: Body of the response.
        wait: Seconds to wait that the server asks for; None if it does not.
        structured: Whether the request has a response format that may be left out.
        proven: Whether the server has answered a request of this worker. Without any answer, a refused request means
            that the settings are wrong, not the prompt.
        model: Name of the model.
        key: The API key.
    """
    message = message_of(text, key)
    code = _field(text, "code") + " " + _field(text, "type")
    shown = f"HTTP {status}" + (f": {message}" if message else "")
    if status == 429 and "insufficient_quota" in code:
        return StopError(Stop("input", f"the account has no quota left ({shown}); add credit, and run the job again"))
    if status in _RETRIED or status >= 500:
        return RetryError(shown, wait, throttled=status in (429, 503))
    if status in (401, 403):
        return StopError(Stop("input", f"the server refuses the API key ({shown}); check the variable in api_key_env"))
    if status == 402:
        return StopError(Stop("input", f"the server asks for payment ({shown}); add credit, and run the job again"))
    if status in (404, 405) or "model_not_found" in code:
        return StopError(Stop("input", f"the server does not have the model {model!r}, or the URL is wrong ({shown})"))
    if status < 400:
        return StopError(Stop("input", f"the server answers with a redirect ({shown}); set the final URL"))
    if status == 413 or "context_length" in code or _TOO_LONG.search(message):
        return RefusedPromptError(f"the server refuses the prompt as too long ({shown})")
    if _FILTERED.search(f"{code} {message}"):
        return RefusedPromptError(f"the server refuses the prompt ({shown})")
    if structured and (_FORMAT.search(message) or not proven):
        return UnsupportedFormatError(shown)
    if proven:
        return RefusedPromptError(f"the server refuses the prompt ({shown})")
    return StopError(Stop("input", f"the server refuses the request ({shown})"))


def _field(text: str, name: str) -> str:
    """Return a field of the error object in a JSON body, as text; empty if there is none."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for part in (body.get("error"), body) if isinstance(body, dict) else ():
        if isinstance(part, dict) and part.get(name) is not None:
            return str(part[name])
        if isinstance(part, str) and name == "message":
            return part
    return ""
