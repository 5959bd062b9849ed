"""Who may ask an engine now: as many prompts at once as it reads, or a suspect alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from actors.vllm.crash_log import CrashLog, QuarantinedPromptError


class RequestLimiter:
    """Lets prompts through to an engine. at_once: how many. What was under way when engines died decides who waits."""

    def __init__(self, at_once: int, deaths: CrashLog) -> None:
        self.deaths = deaths
        self.under_way: Counter[str] = Counter()
        self.alone = False
        self._places = at_once
        self._room = asyncio.Semaphore(at_once)
        self._one_suspect = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, prompt: str) -> AsyncIterator[None]:
        """Wait for a place. prompt: its name. Raises QuarantinedPromptError for a prompt that killed its engine while it was alone."""
        if prompt in self.deaths.guilty:
            raise QuarantinedPromptError(
                "the vLLM engine died each time that it read this prompt, at last while it read nothing else"
            )
        if prompt in self.deaths.suspects:
            async with self._one_suspect, self._places_taken(self._places):
                self.alone = True
                try:
                    with self._under_way(prompt):
                        yield
                finally:
                    self.alone = False
        else:
            async with self._places_taken(1):
                with self._under_way(prompt):
                    yield

    @contextmanager
    def _under_way(self, prompt: str) -> Iterator[None]:
        self.under_way[prompt] += 1
        try:
            yield
        finally:
            self.under_way -= Counter([prompt])

    @asynccontextmanager
    async def _places_taken(self, places: int) -> AsyncIterator[None]:
        taken = 0
        try:
            for _ in range(places):
                await self._room.acquire()
                taken += 1
            yield
        finally:
            for _ in range(taken):
                self._room.release()
