"""Fair sharing of a resource between callers: whoever has received the least service goes next."""

from __future__ import annotations

from collections.abc import Iterable


class FairOrder:
    """Tracks how much service each caller has received, as in fair queueing with virtual time.

    A caller that was idle does not build up credit. When it becomes active, it starts at the level of the active caller
    with the least service and goes before it, so a small request is next and a large one cannot keep the others
    waiting. Not thread-safe.
    """

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._activated: dict[str, int] = {}
        self._activations = 0

    def activate(self, caller: str) -> None:
        """Add a caller who has work to do. A no-op for an active caller."""
        if caller not in self._served:
            self._activations += 1
            self._activated[caller] = self._activations
            self._served[caller] = min(self._served.values(), default=0.0)

    def retain(self, callers: Iterable[str]) -> None:
        """Remove all callers except the given ones."""
        for caller in self._served.keys() - set(callers):
            del self._served[caller], self._activated[caller]

    def charge(self, caller: str, amount: float) -> None:
        """Record the service that a caller receives. A no-op for a caller who is not active."""
        if caller in self._served:
            self._served[caller] += amount

    def rank(self, caller: str) -> tuple[float, int]:
        """Return the sort key of an active caller. The smallest one is next."""
        return self._served[caller], -self._activated[caller]
