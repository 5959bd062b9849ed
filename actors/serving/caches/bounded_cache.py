"""A cache that is bounded in bytes and evicts the least recently used entries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")

ENTRY_BYTES = 256
"""Upper bound of the memory of an entry without its value: key, link of the list and slot of the hash table."""


@dataclass(frozen=True)
class CacheSize:
    """Size of a cache.

    Attributes:
        bytes: Bytes of all entries, keys and hash table included.
        evictions: Entries removed since the start, to make room or because their model is not loaded any more.
    """

    bytes: int
    evictions: int


class BoundedCache(Generic[V]):
    """Maps digests to values. Thread-safe. Values must not be changed by those who get them."""

    def __init__(self, max_bytes: int, bytes_of: Callable[[V], int]) -> None:
        """Create an empty cache.

        Args:
            max_bytes: Maximum size in bytes.
            bytes_of: Returns the bytes of a value. `ENTRY_BYTES` are added for each entry.
        """
        self._max_bytes, self._bytes_of = max_bytes, bytes_of
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, V] = OrderedDict()
        self._bytes = self._evictions = 0

    def get(self, keys: Iterable[bytes]) -> dict[bytes, V]:
        """Return the values of those keys that are cached, and mark these as recently used."""
        found = {}
        with self._lock:
            for key in keys:
                if key in self._entries:
                    self._entries.move_to_end(key)
                    found[key] = self._entries[key]
        return found

    def put(self, values: Sequence[tuple[bytes, V]]) -> None:
        """Add values, and evict the least recently used entries if there are too many bytes."""
        with self._lock:
            for key, value in values:
                if key in self._entries:
                    self._remove(key)
                self._entries[key] = value
                self._bytes += self._size(value)
                while self._bytes > self._max_bytes:
                    self._remove(next(iter(self._entries)))
                    self._evictions += 1

    def drop(self, is_obsolete: Callable[[V], bool]) -> None:
        """Remove all entries whose value is obsolete."""
        with self._lock:
            for key in [key for key, value in self._entries.items() if is_obsolete(value)]:
                self._remove(key)
                self._evictions += 1

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    @property
    def size(self) -> CacheSize:
        """Bytes and evictions."""
        with self._lock:
            return CacheSize(self._bytes, self._evictions)

    def _remove(self, key: bytes) -> None:
        self._bytes -= self._size(self._entries.pop(key))

    def _size(self, value: V) -> int:
        return ENTRY_BYTES + self._bytes_of(value)
