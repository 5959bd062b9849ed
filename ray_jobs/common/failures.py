"""Failures whose reason lies outside: a disk that is full, a storage service that does not do its part."""

from __future__ import annotations

from collections.abc import Iterator

from ranking.storage import s3

_FULL = ("No space left on device", "Disk quota exceeded")
_SERVICE = (
    "AWS Error",
    "Could not connect to the endpoint",
    "EndpointConnectionError",
    "Connection was closed before we received a valid response",
)
_MOST = 240


def reason_outside(error: BaseException) -> str | None:
    """The line that says it, in the words of whoever noticed; None for a failure of another kind.

    Looks through the causes of an error, and through the text of errors that come from workers.
    """
    for text in _texts(error):
        for line in text.splitlines():
            if any(part in line for part in _FULL):
                return f"a disk is full ({_short(line)})"
            if any(part in line for part in _SERVICE):
                return s3.denied(line) or f"the storage service failed ({_short(line)})"
    return None


def _texts(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    held: BaseException | None = error
    while held is not None and id(held) not in seen:
        seen.add(id(held))
        yield str(held)
        held = held.__cause__ or held.__context__


def _short(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
