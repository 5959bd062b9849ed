"""Engines that died, marked on storage, since nothing else outlives the process that an engine takes down with it.

A model that cannot run must not start for ever, and one prompt that kills its engine must not end the others.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Iterable

from ranking.storage.folder import Folder

MOST = 4
"""CrashLog in a row, without an answer between them, that end the job."""

_SUSPECTED = 2
_GUILTY = 1
_SINCE = "since-an-answer"
_LOOKS_EVERY = 5.0


class QuarantinedPromptError(ValueError):
    """The engine died each time that it read this prompt, at last while it read nothing else."""


class CrashLog:
    """What is known of a teacher's engines that died. memory: the teacher's folder.

    suspects: prompts that were under way at two deaths or more; they are to be asked alone. guilty: those of which the
    engine died all the same; they are not to be asked any more.
    """

    def __init__(self, memory: Folder) -> None:
        self.folder = memory / "deaths"
        self._since = self.folder / _SINCE
        self._looked = -math.inf
        marks = [json.loads(self.folder.read_text(name)) for name in self.folder.names(".json")]
        under_way = Counter(prompt for mark in marks for prompt in mark["under_way"])
        alone = Counter(prompt for mark in marks for prompt in mark["under_way"] if mark["alone"])
        self.suspects = {prompt for prompt, times in under_way.items() if times >= _SUSPECTED}
        self.guilty = {prompt for prompt, times in alone.items() if times >= _GUILTY}

    def check(self) -> None:
        """Raise RuntimeError where engines died too often since the last answer."""
        died = len(self._since.names())
        if died >= MOST:
            raise RuntimeError(
                f"the vLLM engine died {died} times without an answer; its words are in the logs of Ray's workers"
            )

    def mark(self, under_way: Iterable[str], alone: bool) -> None:
        """An engine died. under_way: names of the prompts that it was reading. alone: whether one of them was asked alone."""
        name = f"{uuid.uuid4().hex}.json"
        self.folder.write_text(name, json.dumps({"under_way": sorted(under_way), "alone": alone}))
        self._since.write_text(name, "")

    def answered(self) -> None:
        """Prompts were answered: engines can run this model, so deaths up to now are not in a row. Looks at storage now and then."""
        if time.monotonic() - self._looked >= _LOOKS_EVERY:
            self._looked = time.monotonic()
            if self._since.names():
                self._since.delete()

    def forget(self) -> None:
        """Begin anew, with nothing suspected."""
        self.folder.delete()
