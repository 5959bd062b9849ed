"""Asking a language model for the rationales of one label's candidates, each on its own, none twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from actors.data.rows import Outcome
from actors.retrieval.embeddings import text_id_of
from actors.settings import LlmRationaleSettings
from actors.vllm.chat import ChatTokens
from actors.vllm.engine import Completion
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.labels.rationales import parse_rationale
from ranking.labels.relevance import relevance, telling
from ranking.prompts.rationale_prompts import RationalePrompt
from ranking.records import Label, Rationale, RationaleList, TokenCounts, Usage, content

Write = Callable[[Sequence[int], Mapping[str, Any]], Awaitable[Completion]]


class RationaleFiller:
    """Fills the prompt for a rationale, the passage cut so that all of it and the answer fit."""

    def __init__(self, prompt: RationalePrompt, settings: LlmRationaleSettings) -> None:
        self.prompt = prompt
        self.settings = settings
        self.chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))

    def fill(self, query: str, passage: str, relevant: bool, seed: str) -> tuple[list[int], int]:
        """The prompt, and to how many tokens the passage was cut. Raises ValueError where no passage would fit."""

        def filled(limit: int) -> list[int]:
            return self.chat.of(
                self.prompt.messages(query, self.chat.cut(passage, limit), relevant, seed, self.chat.special)
            )

        return self.chat.fit(filled, self.settings.max_document_tokens, 1, self.settings.max_tokens)


class Explainer:
    """Asks for rationales. write: the engine's. What the memory holds already is not asked again."""

    def __init__(
        self, settings: LlmRationaleSettings, filler: RationaleFiller, memory: ResponseCache, write: Write
    ) -> None:
        self.settings = settings
        self.filler = filler
        self.memory = memory
        self.write = write

    async def outcome(self, label: Label) -> Outcome:
        """The rationales of the label's telling candidates, all asked for at once."""
        relevant = relevance(label)
        chosen = telling(label, self.settings.rationales_per_list)
        passages = [content(label.candidates[i].title, label.candidates[i].text) for i in chosen]
        answers = await asyncio.gather(
            *(self._answer(label.query, passage, relevant[i]) for i, passage in zip(chosen, passages, strict=True))
        )
        rationales = [
            _rationale(label.candidates[i].doc_id, passage, relevant[i], asked)
            for i, passage, (asked, _) in zip(chosen, passages, answers, strict=True)
        ]
        found = RationaleList(
            query_id=label.query_id,
            rationales=rationales,
            writer=self.settings.model,
            prompt=self.filler.prompt.hash,
            usage=Usage(
                prompt_tokens=sum(asked.prompt_tokens for asked, _ in answers),
                completion_tokens=sum(asked.completion_tokens for asked, _ in answers),
                seconds=sum(asked.seconds for asked, _ in answers),
            ),
        )
        fresh = TokenCounts(
            prompt=sum(asked.prompt_tokens for asked, new in answers if new),
            completion=sum(asked.completion_tokens for asked, new in answers if new),
        )
        return Outcome(query_id=label.query_id, row=found.model_dump_json(), tokens=fresh)

    async def _answer(self, query: str, passage: str, relevant: bool) -> tuple[CachedResponse, bool]:
        """What was written about a passage, and whether it was just now."""
        name = text_id_of(json.dumps([query, passage, relevant], ensure_ascii=False))
        held = self.memory.find(name, 0, 0, 1)
        return (held, False) if held else (await self._ask(name, query, passage, relevant), True)

    async def _ask(self, name: str, query: str, passage: str, relevant: bool) -> CachedResponse:
        began = time.monotonic()
        written, error, limit = None, None, 0
        try:
            tokens, limit = await asyncio.to_thread(self.filler.fill, query, passage, relevant, name)
            written = await self.write(tokens, self._sampling(name))
        except ValueError as refused:
            error = " ".join(str(refused).split())
        asked = CachedResponse(
            list_id=name,
            number=0,
            step=0,
            attempt=1,
            raw=written.text if written else None,
            error=error,
            finish_reason=written.finish_reason if written else None,
            document_tokens=limit,
            prompt_tokens=written.prompt_tokens if written else 0,
            cached_tokens=written.cached_tokens if written else 0,
            completion_tokens=written.completion_tokens if written else 0,
            seconds=time.monotonic() - began,
        )
        await self.memory.add(asked)
        return asked

    def _sampling(self, name: str) -> dict[str, Any]:
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens}
        return sampling | ({"seed": int(name[:8], 16)} if self.settings.temperature > 0 else {})


def _rationale(doc_id: str, passage: str, relevant: bool, asked: CachedResponse) -> Rationale:
    """Read an answer; what the engine refused is a failure with its words."""
    if asked.error is not None:
        return Rationale(doc_id=doc_id, relevant=relevant, status="failed", text=asked.error)
    status, text = parse_rationale(asked.raw or "", passage, relevant, asked.finish_reason)
    return Rationale(doc_id=doc_id, relevant=relevant, status=status, text=text)
