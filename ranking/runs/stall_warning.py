"""Warn about a stage that makes no progress, at doubling intervals while the stall lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class StallWarning:
    """Watch progress from a background thread.

    Args:
        threshold: Seconds without progress before the first warning. Each later warning follows when the stall has
            lasted twice as long as for the previous one.
        warn: Function that is called with the seconds since the last progress.
    """

    def __init__(self, threshold: float, warn: Callable[[float], None]) -> None:
        self._threshold, self._warn = threshold, warn
        self._last_progress, self._next_warning = time.monotonic(), threshold
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-warning", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Record that there was progress: the time without progress starts again at 0."""
        self._last_progress, self._next_warning = time.monotonic(), self._threshold

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        """Warn whenever the stall exceeds the next warning time."""
        while not self._stopped.wait(self._threshold / 10):
            stalled = time.monotonic() - self._last_progress
            if stalled >= self._next_warning:
                self._next_warning *= 2
                self._warn(stalled)
