"""Checksums of JSON objects: the additional key `sha256` has the SHA-256 of all other keys and values."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_SHA256 = "sha256"
_CHECKSUM = re.compile("[0-9a-f]{64}")


def with_checksum(value: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a JSON object with its checksum."""
    return value | {_SHA256: _digest(value)}


def take_checksum(value: dict[str, Any]) -> bool:
    """Remove the checksum of a JSON object, and return whether it is right. True if the object has none."""
    if _SHA256 in value:
        return bool(value.pop(_SHA256) == _digest(value))
    # the name of the key itself may be damaged
    return not any(isinstance(item, str) and _CHECKSUM.fullmatch(item) for item in value.values())


def _digest(value: dict[str, Any]) -> str:
    """Return the SHA-256 of a JSON object."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()
