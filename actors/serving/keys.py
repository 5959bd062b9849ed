"""Bearer keys, read from a file of hashes that is reloaded when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time

from ranking.errors import InputError
from ranking.storage.folder import Folder

_CHECK_SECONDS = 2.0
"""Minimum time between two checks of whether the file has changed."""

_log = logging.getLogger("ray.serve")


class ApiKeys:
    """The keys that callers may use.

    Each line of the file is `<name> <SHA-256 of the key, in hexadecimal>`. A `#` starts a comment.
    """

    def __init__(self, uri: str) -> None:
        """Read the file.

        Raises:
            InputError: The file cannot be read or a line is malformed.
        """
        self._file = Folder(uri)
        parent, _, self._name = self._file.uri.rpartition("/")
        self._folder = Folder(parent)
        self._hashes = self._read()
        self._state = self._file_state()
        self._checked = time.monotonic()

    def caller_of(self, key: str) -> str | None:
        """Return the name for a key, or None if the key is unknown. Compares all hashes, each in constant time."""
        self._reload_if_changed()
        key_hash = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        caller = None
        for name, known_hash in self._hashes.items():
            if hmac.compare_digest(key_hash, known_hash):
                caller = name
        return caller

    def _reload_if_changed(self) -> None:
        """Read the file again if it has changed. If that fails, log the error and keep the current keys."""
        if time.monotonic() - self._checked < _CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        try:
            state = self._file_state()
            if state != self._state:
                self._hashes, self._state = self._read(), state
        except (InputError, OSError) as error:
            _log.error("cannot reload the API keys, keeping the current ones: %s", error)

    def _file_state(self) -> list[tuple[str, int, int]]:
        return self._file.inventory()

    def _read(self) -> dict[str, str]:
        where = f"{self._folder.uri}/{self._name}"
        try:
            text = self._folder.read_text(self._name)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"setting 'serving.keys': cannot read {where} ({error})") from None
        hashes: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) != 2 or len(words[1]) != 64 or set(words[1].lower()) - set("0123456789abcdef"):
                raise InputError(f"{where}, line {number}: expected a name and the SHA-256 of a key in hexadecimal")
            if words[0] in hashes:
                raise InputError(f"{where}, line {number}: duplicate name {words[0]!r}")
            hashes[words[0]] = words[1].lower()
        if not hashes:
            raise InputError(f"{where}: no keys in this file; add at least one line, or unset serving.keys")
        return hashes
