"""Recognise failures with an external cause: a full disk or a failing storage service."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ranking.errors import InputError
from ranking.external_ends import ServiceError
from ranking.storage import s3

_DISK_FULL = ("No space left on device", "Disk quota exceeded")
_STORAGE_SERVICE = (
    "AWS Error",
    "Could not connect to the endpoint",
    "EndpointConnectionError",
    "Connection was closed before we received a valid response",
    ") when calling the ",
)
_INPUT_ERROR = re.compile(r"\branking\.errors\.\w+: (.+)")
_MAX_CHARACTERS = 240


def input_error(error: BaseException) -> str | None:
    """Return the message of an InputError, also of one that a worker raised; None for all other errors.

    Ray passes on an error of a worker as text, or as an error of the same class whose text is the whole traceback.
    """
    if isinstance(error, InputError) and not _INPUT_ERROR.search(str(error)):
        return str(error)
    for text in _texts(error):
        for line in text.splitlines():
            if match := _INPUT_ERROR.search(line):
                return match[1]
    return None


def external_cause(error: BaseException) -> str | None:
    """Describe the external cause of an error in one line; None for all other errors.

    Searches the chain of causes, and the text of errors that Ray passes on from workers.
    """
    if isinstance(error, ServiceError):
        return str(error)
    for text in _texts(error):
        for line in text.splitlines():
            if any(part in line for part in _DISK_FULL):
                return f"a disk is full ({_shorten(line)}), free space on it"
            if any(part in line for part in _STORAGE_SERVICE):
                return s3.missing_permission(line) or f"the storage service failed ({_shorten(line)})"
    return None


def _texts(error: BaseException) -> Iterator[str]:
    """Yield the text of an error and of each error in its chain of causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield str(current)
        current = current.__cause__ or current.__context__


def _shorten(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
