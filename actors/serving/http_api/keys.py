"""Bearer keys, read from a file of hashes that a background thread reads again every few seconds."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from ranking.errors import InputError, first_line
from ranking.storage.folder import Folder

REFRESH_SECONDS = 2.0
"""Seconds between two reads of the file."""

_log = logging.getLogger("ray.serve")


class KeyMetrics(Protocol):
    """Interface of the metrics that a key file reports."""

    def record_key_refresh(self, age: float, bad_lines: int) -> None:
        """Record the seconds since the file was last read, and the number of malformed lines that were skipped."""


@dataclass(frozen=True)
class KeyFile:
    """The content of a key file.

    Attributes:
        hashes: {name of the caller: SHA-256 of the key, in hexadecimal}.
        bad_lines: Why lines were skipped, one message per line. Messages do not repeat a line's content.
    """

    hashes: dict[str, str]
    bad_lines: list[str] = field(default_factory=list)


def read_keys(uri: str) -> KeyFile:
    """Read a key file. Each line is `<name> <SHA-256 of the key, in hexadecimal>`. A `#` starts a comment.

    Malformed lines and repeated names are skipped, so one bad line neither locks everybody out nor keeps a removed key.

    Args:
        uri: Path or URI of the file.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The storage cannot be read.
    """
    parent, _, name = Folder(uri).uri.rpartition("/")
    hashes: dict[str, str] = {}
    bad_lines = []
    with Folder(parent).open(name) as stream:
        text = bytes(stream.read()).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or len(words[1]) != 64 or set(words[1].lower()) - set("0123456789abcdef"):
            bad_lines.append(f"line {number}: expected a name and the SHA-256 of a key in hexadecimal")
        elif words[0] in hashes:
            bad_lines.append(f"line {number}: duplicate name")
        else:
            hashes[words[0]] = words[1].lower()
    return KeyFile(hashes, bad_lines)


def check_keys(uri: str) -> None:
    """Check a key file before the service starts.

    Raises:
        InputError: The file cannot be read, a line is malformed, or there is no key.
    """
    try:
        keys = read_keys(uri)
    except OSError as error:
        raise InputError(f"setting 'serving.keys': cannot read {uri} ({first_line(error)})") from None
    if keys.bad_lines:
        raise InputError(f"{uri}, {keys.bad_lines[0]}")
    if not keys.hashes:
        raise InputError(f"{uri}: no keys in this file; add at least one line, or unset serving.keys")


class ApiKeys:
    """The keys that callers may use. Checking a key never waits for the storage.

    A missing or empty file admits nobody. While the storage cannot be read, the keys of the last read stay valid, and
    the age of that read is a metric.
    """

    def __init__(self, uri: str, metrics: KeyMetrics | None = None, refresh_seconds: float = REFRESH_SECONDS) -> None:
        """Start reading the file in the background, and wait up to `refresh_seconds` for the first read.

        Args:
            uri: Path or URI of the file.
            metrics: Receives the age of the keys and the number of skipped lines.
            refresh_seconds: Seconds between two reads.
        """
        self._uri, self._metrics, self._refresh_seconds = uri, metrics, refresh_seconds
        self._callers: dict[str, str] = {}
        self._reported: list[str] = []
        self._read_at = time.monotonic()
        first_read, self._closed = threading.Event(), threading.Event()
        threading.Thread(target=self._run, args=(first_read,), name="keys", daemon=True).start()
        if metrics is not None:  # a thread of its own, because a read may block
            threading.Thread(target=self._report, name="key-age", daemon=True).start()
        first_read.wait(refresh_seconds)

    def caller_of(self, key: str) -> str | None:
        """Return the name for a key, or None if the key is unknown.

        The time of a lookup by hash does not grow with the number of keys, so wrong keys are cheap to refuse. It does
        not help to guess a key either: a caller cannot choose the SHA-256 hash of a key, and a dict compares two hashes
        only if their 64-bit values of Python's `hash` are equal, which is randomised in each process.
        """
        return self._callers.get(hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest())

    @property
    def age(self) -> float:
        """Seconds since the file was last read."""
        return time.monotonic() - self._read_at

    def close(self) -> None:
        """Stop reading the file."""
        self._closed.set()

    def _run(self, first_read: threading.Event) -> None:
        while not self._closed.is_set():
            started = time.monotonic()
            self._refresh()
            first_read.set()
            self._closed.wait(max(0.0, started + self._refresh_seconds - time.monotonic()))

    def _report(self) -> None:
        assert self._metrics is not None
        while not self._closed.wait(self._refresh_seconds):
            self._metrics.record_key_refresh(self.age, len(self._reported))

    def _refresh(self) -> None:
        started = time.monotonic()
        try:
            keys = read_keys(self._uri)
        except FileNotFoundError:
            keys = KeyFile({}, ["no such file, so no key is valid"])
        except Exception as error:  # the storage is unavailable, or refuses access: the last keys stay valid
            _log.error("cannot read the API keys %s, keeping those of %.0f s ago: %s", self._uri, self.age, error)
            return
        if not keys.hashes and not keys.bad_lines:
            keys.bad_lines.append("no keys in this file, so no key is valid")
        for line in keys.bad_lines:
            if line not in self._reported:
                _log.error("API keys %s, %s", self._uri, line)
        self._callers = {key_hash: name for name, key_hash in keys.hashes.items()}
        self._reported, self._read_at = keys.bad_lines, started
