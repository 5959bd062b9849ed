"""The service's secret: signs exposure ids, and salts the hashes of queries and experiment keys."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ranking.storage.pointer import Pointer, PointerConflictError

FILE = "secret"
VARIABLE = "RRADISTILL_SERVING_SECRET"
"""Environment variable that replaces the secret in storage."""

_TAG_CHARACTERS = 32
_MIN_CHARACTERS = 32


class Secret:
    """A secret that all replicas of a service share."""

    def __init__(self, text: str) -> None:
        self._key = text.encode("utf-8")

    def sign(self, exposure_id: str) -> str:
        """Append a tag (HMAC-SHA-256) to an exposure id. Feedback with a forged id is rejected."""
        return f"{exposure_id}.{self._tag('exposure', exposure_id)}"

    def is_signed(self, exposure_id: str) -> bool:
        """Return whether an exposure id has the tag of this secret."""
        text, _, tag = exposure_id.rpartition(".")
        return hmac.compare_digest(tag.encode("utf-8", "replace"), self._tag("exposure", text).encode("ascii"))

    def hash_of(self, text: str) -> str:
        """Return the hash that is recorded for a query or key. Without the secret, no guess can be checked."""
        return self._tag("text", text)[:24]

    def _tag(self, purpose: str, text: str) -> str:
        message = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_TAG_CHARACTERS]


def load_secret(folder: Folder) -> Secret:
    """Return the secret in RRADISTILL_SERVING_SECRET, or that of a folder in storage, which is created once.

    Args:
        folder: Folder of the service under the storage root.

    Raises:
        InputError: The secret is too short.
    """
    if text := os.environ.get(VARIABLE):
        return _check_secret(text, f"environment variable {VARIABLE}")
    pointer = Pointer(folder, FILE)
    content = pointer.read()
    if content.text is None:
        with contextlib.suppress(PointerConflictError):  # another replica has just created it
            pointer.swap(content, secrets.token_hex(32))
        content = pointer.read()
    return _check_secret(content.text or "", f"{folder.uri}/{FILE}")


def _check_secret(text: str, where: str) -> Secret:
    if len(text.strip()) < _MIN_CHARACTERS:
        raise InputError(
            f"{where}: the service's secret has fewer than {_MIN_CHARACTERS} characters; delete it to create another"
        )
    return Secret(text.strip())
