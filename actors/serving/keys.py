"""Bearer keys: a file of hashes, read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time

from ranking.errors import InputError
from ranking.storage.folder import Folder

_LOOK_EVERY = 2.0
_log = logging.getLogger("ray.serve")


class ApiKeys:
    """The keys that callers may show. A line of the file is `<name> <SHA-256 of the key, in hexadecimal>`; # begins a remark."""

    def __init__(self, place: str) -> None:
        """Raises InputError where the file cannot be read or a line is malformed."""
        self._file = Folder(place)
        parent, _, self._name = self._file.uri.rpartition("/")
        self._folder = Folder(parent)
        self._hashes = self._read()
        self._state = self._seen()
        self._looked = time.monotonic()

    def caller_of(self, key: str) -> str | None:
        """The name of who shows a key; None for one that is unknown. All hashes are compared, each in constant time."""
        self._look()
        given = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for name, held in self._hashes.items():
            if hmac.compare_digest(given, held):
                found = name
        return found

    def _look(self) -> None:
        """Read the file again where it changed. One that cannot be read leaves the keys as they are, and is told in the log."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        try:
            state = self._seen()
            if state != self._state:
                self._hashes, self._state = self._read(), state
        except (InputError, OSError) as error:
            _log.error("the keys stay as they were: %s", error)

    def _seen(self) -> list[tuple[str, int, int]]:
        return self._file.inventory()

    def _read(self) -> dict[str, str]:
        where = f"{self._folder.uri}/{self._name}"
        try:
            text = self._folder.read_text(self._name)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"setting 'serving.keys': {where} cannot be read ({error})") from None
        found: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) != 2 or len(words[1]) != 64 or set(words[1].lower()) - set("0123456789abcdef"):
                raise InputError(f"{where}, line {number}: a name and the SHA-256 of a key in hexadecimal are needed")
            if words[0] in found:
                raise InputError(f"{where}, line {number}: the name {words[0]!r} stands twice")
            found[words[0]] = words[1].lower()
        if not found:
            raise InputError(f"{where}: holds no key, so nobody could call")
        return found
