"""Asking a listwise teacher for one list: in several orders or by a sliding window, again where an answer is unusable."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.data.rows import PreRankedList
from actors.retrieval.embeddings import text_id_of
from actors.settings import ListwiseTeacherSettings, WindowSettings
from actors.vllm.engine import Completion
from actors.vllm.prompt_tokens import FilledPrompt, PromptFiller
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.labels.answer_constraints import DOCUMENTS
from ranking.labels.listwise_answers import ParsedAnswer, read_answer
from ranking.labels.permutations import prompt_order
from ranking.labels.windows import reordered, windows
from ranking.records import content

Write = Callable[[Sequence[int], Mapping[str, Any]], Awaitable[Completion]]


@dataclass(frozen=True)
class ParsedResponse:
    """An answer, read. shown: the documents of the prompt in their order, as indices into the list. fresh: asked for just now."""

    asked: CachedResponse
    read: ParsedAnswer
    shown: Sequence[int]
    fresh: bool

    @property
    def listed(self) -> list[int]:
        """What the answer lists, best first, as indices into the list."""
        return [self.shown[identifier - 1] for identifier in self.read.order]


@dataclass
class ListRanking:
    """The result of asking for a list in one order.

    order: indices into the list, best first; None if no answer is usable. windowed: whether a sliding window ranked the list.
    """

    order: list[int] | None = None
    replies: list[ParsedResponse] = field(default_factory=list)
    windowed: bool = False

    @property
    def last(self) -> ParsedResponse:
        """The reply that decided."""
        return self.replies[-1]


class ListwiseRequester:
    """Asks for lists. write: the engine's. What the memory holds already is not asked again."""

    def __init__(
        self, settings: ListwiseTeacherSettings, filler: PromptFiller, memory: ResponseCache, write: Write
    ) -> None:
        self.settings = settings
        self.filler = filler
        self.memory = memory
        self.write = write

    async def rankings(self, row: PreRankedList) -> list[ListRanking]:
        """Ask for a list in every one of the settings' orders, all at once.

        Ranks a list with more documents than the prompt can show by a sliding window; see `window_of`.
        """
        window = window_of(self.settings, self.filler.prompt.most, len(row.picked))
        asked = (
            self._by_window(row, list_id_of(row), number, window)
            if window
            else self._at_once(row, list_id_of(row), number)
            for number in range(self.settings.orders)
        )
        return list(await asyncio.gather(*asked))

    async def _at_once(self, row: PreRankedList, list_id: str, number: int) -> ListRanking:
        replies = await self._until_usable(row, list_id, number, 0, range(len(row.picked)), shuffle_first=True)
        return ListRanking(replies[-1].listed if replies[-1].read.usable else None, replies)

    async def _by_window(self, row: PreRankedList, list_id: str, number: int, window: WindowSettings) -> ListRanking:
        """One step after the other; what a step leaves out keeps its order behind what it lists, as in RankGPT."""
        ranking, order = ListRanking(windowed=True), list(range(len(row.picked)))
        for step, (start, end) in enumerate(windows(len(order), window.size, window.stride)):
            replies = await self._until_usable(row, list_id, number, step, order[start:end], shuffle_first=number > 0)
            ranking.replies += replies
            if not replies[-1].read.usable:
                return ranking
            order = reordered(order, start, end, replies[-1].listed)
        ranking.order = order
        return ranking

    async def _until_usable(
        self, row: PreRankedList, list_id: str, number: int, step: int, indices: Sequence[int], shuffle_first: bool
    ) -> list[ParsedResponse]:
        """Ask for some of a list's documents until an answer is usable, each time in another order, or until the engine refuses."""
        replies: list[ParsedResponse] = []
        for attempt in range(1, self.settings.max_attempts + 1):
            shown = list(indices)
            if shuffle_first or attempt > 1:
                shown = [
                    shown[place]
                    for place in drawn_order(len(shown), self.settings.seed, list_id, number, step, attempt)
                ]
            held = self.memory.find(list_id, number, step, attempt)
            asked = held or await self._ask(row, shown, (list_id, number, step, attempt))
            read = read_answer(asked.raw or "", len(shown), asked.finish_reason)
            replies.append(ParsedResponse(asked, read, shown, fresh=held is None))
            if read.usable or asked.error is not None:  # what the engine refuses or dies of stays so in any order
                break
        return replies

    async def _ask(self, row: PreRankedList, shown: Sequence[int], key: tuple[str, int, int, int]) -> CachedResponse:
        began = time.monotonic()
        texts = [content(row.picked[index].candidate.title, row.picked[index].candidate.text) for index in shown]
        filled: FilledPrompt | None = None
        written, error = None, None
        try:
            filled = await asyncio.to_thread(self.filler.fill, row.text, texts, " ".join(map(str, key)))
            written = await self.write(filled.tokens, self._sampling(filled, len(shown), key))
        except ValueError as refused:
            error = " ".join(str(refused).split())
        list_id, number, step, attempt = key
        asked = CachedResponse(
            list_id=list_id,
            number=number,
            step=step,
            attempt=attempt,
            raw=written.text if written else None,
            error=error,
            finish_reason=written.finish_reason if written else None,
            document_tokens=filled.document_tokens if filled else 0,
            prompt_tokens=written.prompt_tokens if written else 0,
            cached_tokens=written.cached_tokens if written else 0,
            completion_tokens=written.completion_tokens if written else 0,
            seconds=time.monotonic() - began,
        )
        await self.memory.add(asked)
        return asked

    def _sampling(self, filled: FilledPrompt, documents: int, key: tuple[str, int, int, int]) -> dict[str, Any]:
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": filled.answer_tokens}
        if self.settings.temperature > 0:
            sampling["seed"] = int(text_id_of(f"{self.settings.seed} {key}")[:8], 16)
        if self.settings.structured:
            sampling["extra_args"] = {DOCUMENTS: documents}
        return sampling


def window_of(settings: ListwiseTeacherSettings, most: int | None, documents: int) -> WindowSettings | None:
    """The sliding window for a list; None for one prompt.

    It is the settings' own, or one of the prompt's size, with half of that as stride, if the prompt cannot show the whole list. most:
    documents that the prompt can show; None for any number.
    """
    if settings.window is None and most is not None and documents > most >= 2:
        return WindowSettings(size=most, stride=most // 2)
    return settings.window


def drawn_order(documents: int, seed: int, list_id: str, number: int, step: int, attempt: int) -> list[int]:
    """The order in which a prompt shows so many documents, as places among them."""
    return prompt_order(documents, seed, f"{list_id} {number} {step}", attempt)


def list_id_of(row: PreRankedList) -> str:
    """Name a list by its query and what is shown for it."""
    shown = [[picked.candidate.doc_id, picked.candidate.title, picked.candidate.text] for picked in row.picked]
    return text_id_of(json.dumps([row.text, shown], ensure_ascii=False))
