"""Crash log of vLLM engines.

A crashing engine takes its worker process down with it, so the log is kept on storage. Because of the log, a model
that cannot run is not restarted forever, and a prompt that crashes the engine does not fail all other prompts.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import Iterable

from pydantic import ConfigDict

from ranking.records.record import ChecksummedModel
from ranking.storage.folder import Folder

MAX_CONSECUTIVE_CRASHES = 4
"""Number of crashes, without an answer in between, after which the job fails."""

_ISOLATE_AFTER_CRASHES = 2
_QUARANTINE_AFTER_CRASHES = 1
_SINCE_ANSWER = "since-an-answer"
_CHECK_SECONDS = 5.0


class QuarantinedPromptError(ValueError):
    """A prompt is not sent, because it crashed the engine repeatedly, the last time as the only prompt in flight."""


class _Crash(ChecksummedModel):
    """A crash: the ids of the prompts that the engine was processing, and whether it was one isolated prompt."""

    model_config = ConfigDict(extra="forbid")

    in_flight: list[str]
    alone: bool


class CrashLog:
    """Engine crashes of one teacher or rationale writer, and the prompts that caused them.

    Args:
        folder: Folder of the teacher's or writer's cache. The log is a subfolder of it.

    Attributes:
        isolated: Ids of prompts that were in flight during two or more crashes. They must be sent alone.
        quarantined: Ids of prompts that crashed the engine while sent alone. They must not be sent again.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder / "engine_crashes"
        self._since_answer = self.folder / _SINCE_ANSWER
        self._checked_at = -math.inf
        crashes = [self.folder.read_model(name, _Crash) for name in self.folder.names(".json")]
        in_flight = Counter(prompt for crash in crashes for prompt in crash.in_flight)
        alone = Counter(prompt for crash in crashes for prompt in crash.in_flight if crash.alone)
        self.isolated = {prompt for prompt, count in in_flight.items() if count >= _ISOLATE_AFTER_CRASHES}
        self.quarantined = {prompt for prompt, count in alone.items() if count >= _QUARANTINE_AFTER_CRASHES}

    def check(self) -> None:
        """Raise RuntimeError if engines crashed too often since the last answer."""
        crashes = len(self._since_answer.names())
        if crashes >= MAX_CONSECUTIVE_CRASHES:
            raise RuntimeError(
                f"the vLLM engine crashed {crashes} times without an answer in between; "
                "see the logs of the Ray workers for the cause"
            )

    def record_crash(self, in_flight: Iterable[str], alone: bool) -> None:
        """Record an engine crash.

        Args:
            in_flight: Ids of the prompts that the engine was processing.
            alone: Whether the engine was processing an isolated prompt, which is sent alone.
        """
        name = f"{uuid.uuid4().hex}.json"
        self.folder.write_text(name, _Crash(in_flight=sorted(in_flight), alone=alone).to_json())
        self._since_answer.write_text(name, "")

    def record_answer(self) -> None:
        """Reset the count of consecutive crashes, because an answer shows that engines can run this model.

        Reads storage at most once every five seconds.
        """
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = time.monotonic()
            if self._since_answer.names():
                self._since_answer.delete()

    def forget(self) -> None:
        """Delete all recorded crashes."""
        self.folder.delete()
