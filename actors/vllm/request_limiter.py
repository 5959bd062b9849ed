"""Limit the prompts in flight at a vLLM engine.

A prompt that was in flight during several crashes (isolated) is sent alone. A prompt that crashed the engine while sent
alone (quarantined) is never sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from actors.vllm.crash_log import CrashLog, QuarantinedPromptError


class RequestLimiter:
    """Limits the prompts in flight at an engine.

    Args:
        max_in_flight: Maximum number of prompts at once.
        crash_log: Decides which prompts are sent alone and which are not sent at all.

    Attributes:
        in_flight: {prompt id: number of its requests in flight}.
        alone: Whether the prompt in flight is an isolated one.
    """

    def __init__(self, max_in_flight: int, crash_log: CrashLog) -> None:
        self.crash_log = crash_log
        self.in_flight: Counter[str] = Counter()
        self.alone = False
        self._max_in_flight = max_in_flight
        self._slots = asyncio.Semaphore(max_in_flight)
        self._isolation = asyncio.Lock()

    @asynccontextmanager
    async def slot(self, prompt: str) -> AsyncIterator[None]:
        """Wait for a free slot and hold it until the block exits. A prompt that must run alone takes all slots.

        Args:
            prompt: Id of the prompt.

        Raises:
            QuarantinedPromptError: The prompt crashed the engine when it ran alone.
        """
        if prompt in self.crash_log.quarantined:
            raise QuarantinedPromptError(
                "the vLLM engine crashed each time it processed this prompt, at last with no other prompt in flight"
            )
        if prompt in self.crash_log.isolated:
            async with self._isolation, self._acquire(self._max_in_flight):
                self.alone = True
                try:
                    with self._count_in_flight(prompt):
                        yield
                finally:
                    self.alone = False
        else:
            async with self._acquire(1):
                with self._count_in_flight(prompt):
                    yield

    @contextmanager
    def _count_in_flight(self, prompt: str) -> Iterator[None]:
        self.in_flight[prompt] += 1
        try:
            yield
        finally:
            self.in_flight -= Counter([prompt])

    @asynccontextmanager
    async def _acquire(self, slots: int) -> AsyncIterator[None]:
        acquired = 0
        try:
            for _ in range(slots):
                await self._slots.acquire()
                acquired += 1
            yield
        finally:
            for _ in range(acquired):
                self._slots.release()
