"""Saying why a stage makes no progress, again and again at longer intervals, for as long as it makes none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class StallWarning:
    """Watches something that should move. say: is called with seconds of silence; first after `quiet` of them, then after twice as many."""

    def __init__(self, quiet: float, say: Callable[[float], None]) -> None:
        self._quiet, self._say = quiet, say
        self._moved, self._next = time.monotonic(), quiet
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="standstill", daemon=True)
        self._thread.start()

    def move(self) -> None:
        """It moved."""
        self._moved, self._next = time.monotonic(), self._quiet

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._quiet / 10):
            silent = time.monotonic() - self._moved
            if silent >= self._next:
                self._next *= 2
                self._say(silent)
